"""Words of clinical text in many languages: conditions, treatment, findings, roles. Small letters, latin-1."""

from __future__ import annotations

# One of these makes a text clinical.
_STRONG_TEXT = """
    mrn mrns
    brustkrebs lungenkrebs darmkrebs hautkrebs prostatakrebs herzinsuffizienz niereninsuffizienz schmerzen epilepsie
    migräne demenz lungenentzündung arthrose infarctus cancéreux asthme épilepsie migraine dépression diabetische
    contraindications contraindication infections mrsa uti utis ovarian cholecystectomy biliary colic amiodarone
    gabapentin clozapine lorazepam doxorubicin eliquis methotrexate botox migraines rehab vaccinate vaccinating
    bleeding postop mammogram ultrasounds chemo nstemi stemi tia ablation stent stents diagnosed diagnosis diagnoses
    diagnostic prognosis hypertension diabetes diabetic cancer carcinoma melanoma lymphoma leukemia leukaemia tumor
    tumour metastatic metastasis chemotherapy radiotherapy oncology asthma copd pneumonia sepsis stroke epilepsy
    seizure seizures dementia alzheimer alzheimers parkinson parkinsons schizophrenia bipolar depression anxiety hiv
    aids hepatitis tuberculosis covid influenza bronchitis cirrhosis nephropathy neuropathy retinopathy dialysis
    transplant biopsy mri ct ecg ekg ultrasound endoscopy colonoscopy surgery surgical postoperative preoperative
    appendectomy arthroplasty mastectomy hysterectomy cesarean c-section arrhythmia fibrillation infarction angina
    cardiac cardiovascular coronary thrombosis embolism anticoagulation anticoagulant warfarin apixaban heparin
    aspirin ibuprofen acetaminophen paracetamol metformin insulin lisinopril atorvastatin statin statins amoxicillin
    antibiotic antibiotics levothyroxine prednisone corticosteroid steroids opioid opioids morphine oxycodone ssri
    sertraline fluoxetine lithium hypothyroidism hyperthyroidism thyroid anemia anaemia obesity hyperlipidemia
    cholesterol creatinine hemoglobin hba1c a1c glucose platelet leukocytes gerd reflux crohn crohns colitis ibs
    pancreatitis cholecystitis appendicitis headaches headache arthritis osteoarthritis rheumatoid osteoporosis
    lupus psoriasis eczema dermatitis allergy allergies allergic anaphylaxis pregnancy pregnant prenatal gestational
    preeclampsia miscarriage infertility symptom symptoms syndrome lesion fracture edema dyspnea nausea vomiting
    fever cough rash pain chronic acute icu inpatient outpatient admitted admission discharge discharged hx tx rx dx
    pt pts htn dm2 t2dm chf ckd cad afib medication medications prescribed prescription dosage dose dosing vaccine
    vaccination immunization therapy autism adhd ptsd ocd psychosis suicidal overdose addiction alcoholism
    withdrawal sclerosis myeloma glioblastoma hernia gallstones kidney renal hepatic pulmonary gastrointestinal
    neurological psychiatric pediatric prematurity guillain sarcoidosis endometriosis fibroids menopause glaucoma
    cataract cataracts gout sciatica scoliosis diagnose diagnostiziert befund erkrankung krebs bluthochdruck
    blutdruck schlaganfall herzinfarkt behandlung therapie medikament medikamente allergie schwangerschaft symptome
    chirurgie operation krankheit psychotherapie anamnese entlassungsbrief arztbrief diabète traitement maladie
    grossesse ordonnance symptômes tension antécédents hospitalisé hospitalisation diagnóstico cáncer hipertensión
    tratamiento cirugía enfermedad embarazo síntomas antecedentes hospitalizado ingreso dolor fiebre biopsia
    tumoración anamnesis exploración quirúrgica analítica hemograma diagnosi cancro ipertensione trattamento
    chirurgia malattia gravidanza sintomi anamnesi ricovero diabete kanker hoge bloeddruk behandeling ziekte
    zwangerschap klachten rozpoznanie nowotwór leczenie choroba ciąża objawy cukrzyca diagnos behandling sjukdom
    graviditet symtom diagnoosi syöpä verenpaine hoito sairaus raskaus oireet sygdom kræft sykdom kreft svangerskap
    blodtrykk câncer hipertensão tratamento cirurgia doença gravidez sintomas abscess acne adalimumab adenocarcinoma
    aldosterone allopurinol alopecia alprazolam amlodipine amputation analgesia analgesic anaesthesia anesthesia
    aneurysm angiogram angioplasty anorexia antenatal anticoagulated antidepressant antidepressants antiepileptic
    antihypertensive antipsychotic antiviral aortic appendix ascites asthmatic ataxia atrial autoimmune azithromycin
    bariatric benzodiazepine benzodiazepines bilirubin bisoprolol bmi bradycardia bronchodilator bulimia bunion
    bupropion buspirone carbamazepine cardiologist cardiology cardiomyopathy catheter cbc celecoxib celiac
    cellulitis cephalexin cerebral cerebrovascular cervical chickenpox chlamydia chlorthalidone ciprofloxacin
    citalopram clonazepam clopidogrel clonidine codeine colectomy colostomy comorbidities comorbidity concussion
    congestive conjunctivitis constipation contusion cortisol cyst cystitis cytology dabigatran defibrillator
    dehydration delirium dental dermatologist dermatology dexamethasone diarrhea diarrhoea diazepam digoxin
    diltiazem diuretic diuretics diverticulitis donepezil doxycycline duloxetine dvt dysphagia dysuria
    echocardiogram echocardiography eclampsia ectopic egfr electrocardiogram electrolytes emphysema empagliflozin
    encephalitis encephalopathy endocrine endocrinologist endocrinology enoxaparin epidural epileptic erythema
    escitalopram esophageal esophagus estradiol estrogen etanercept fasciitis fentanyl fibromyalgia fluconazole
    furosemide gallbladder gangrene gastritis gastroenteritis gastroenterologist gastroparesis gonorrhea
    gynecologist gynecology gravida hematology hematoma hematuria hemodialysis hemophilia hemorrhage hemorrhoids
    hepatology hernias herpes hospice humira hydrochlorothiazide hydrocodone hydroxychloroquine hypercholesterolemia
    hyperintensity hyperkalemia hyperplasia hypoglycemia hypokalemia hypotension hypoxia hysteroscopy ileus
    immunocompromised immunosuppressant immunotherapy incontinence infliximab inhaler insomnia intubated intubation
    ischemia ischemic jaundice ketamine ketoacidosis keratosis lactation lamotrigine laparoscopic laparoscopy
    laparotomy levetiracetam lipid losartan lumbar lymph macular malaria malignant measles melasma meloxicam
    meningitis menstrual metoprolol mirtazapine mononucleosis multiparous myalgia myocardial myocarditis myopathy
    naloxone naproxen nebulizer necrosis neonatal nephrectomy nephrologist nephrology neurologist neurology
    neurosurgery nifedipine nitroglycerin nodule nodules norovirus obstetric obstetrics olanzapine omeprazole
    oncologist ophthalmology orthopedic orthopaedic osteopenia otitis ozempic pacemaker palliative palpitations
    pancreatic pantoprazole paralysis paroxetine pediatrician penicillin pericarditis peritonitis pertussis
    phenytoin phlebotomy physiotherapy placenta platelets pneumothorax polyp polyps postnatal postpartum pregabalin
    prediabetes propranolol prostate prostatectomy prosthesis proteinuria pruritus psychiatrist psychologist
    psychotherapist pulmonologist pyelonephritis quetiapine radiologist radiology ramipril respiratory
    rheumatologist rheumatology rifampin risperidone rivaroxaban rosuvastatin salbutamol schizoaffective semaglutide
    shingles simvastatin sinusitis sitagliptin spinal spirometry spironolactone sprain squamous stenosis stillbirth
    stomatitis streptococcal suicide sutures syncope syphilis tachycardia tamoxifen tamsulosin tendonitis
    terbinafine testosterone tetanus thrombocytopenia thyroidectomy tinnitus tonsillectomy tonsillitis topiramate
    tracheostomy tramadol transfusion trazodone trimester triglycerides troponin ulcer ulcerative ulcers urinalysis
    urinary urologist urology urticaria uterine valproate valsartan vancomycin varicose vasectomy venlafaxine
    ventilator ventricular verapamil vertigo vomited warfarinised wheezing xarelto zoledronic zolpidem zoster xray
    xrays strep flu bloodwork krankschreibung röntgen herzrhythmusstörungen nierenversagen schwanger bluttest
    blutwerte blutbild medikation ordonnances grippe fièvre douleur douleurs grossesses diabétique gripe embarazada
    receta receptas alergia alergias asma neumonía infarto pressione febbre dolore allergia ricetta alergie
    zapalenie aciclovir acyclovir carvedilol entresto lantus neutropenic neutropenia tsh crp wbc gleason overdosed
    immunised immunized immunisation paediatric paediatrician paediatrics gynaecology gynaecologist haemoglobin
    haematology haemorrhage oedema oesophagus diarrhoeal leucocytes tumours anaemic anemic seropositive arthroscopy
    meniscus tendinitis bursitis ligament hydrocephalus myasthenia fibrosis thalassemia dysplasia dystrophy spina
    bifida methadone buprenorphine suboxone naltrexone disulfiram varenicline atenolol candesartan enalapril
    ezetimibe pravastatin glipizide glyburide glimepiride liraglutide dulaglutide tirzepatide canagliflozin
    dapagliflozin linagliptin pioglitazone glargine lispro detemir budesonide fluticasone montelukast tiotropium
    salmeterol formoterol ipratropium theophylline cetirizine loratadine ranitidine famotidine esomeprazole
    lansoprazole ondansetron metoclopramide loperamide mesalamine azathioprine tacrolimus cyclosporine ciclosporin
    mycophenolate rituximab trastuzumab pembrolizumab nivolumab bevacizumab imatinib letrozole anastrozole
    bicalutamide leuprolide cisplatin carboplatin paclitaxel docetaxel cyclophosphamide vincristine temozolomide
    alendronate denosumab levodopa carbidopa pramipexole ropinirole memantine rivastigmine aripiprazole ziprasidone
    haloperidol lisdexamfetamine methylphenidate atomoxetine adderall ritalin prozac zoloft lexapro xanax klonopin
    valium ativan ambien lipitor crestor zocor plavix coumadin lasix synthroid nexium prilosec advair symbicort
    ventolin singulair januvia jardiance farxiga trulicity mounjaro wegovy victoza keytruda herceptin remicade
    enbrel stelara cefuroxime ceftriaxone cefalexin clarithromycin erythromycin levofloxacin metronidazole
    nitrofurantoin trimethoprim meropenem piperacillin tazobactam gentamicin linezolid oseltamivir tamiflu paxlovid
    remdesivir truvada zidovudine efavirenz dolutegravir isoniazid ethambutol pyrazinamide ivermectin albendazole
    artemether chloroquine quinine permethrin vorhofflimmern herzinfarkte schlaganfälle lungenembolie thrombose
    nierenkrankheit leberzirrhose bauchschmerzen kopfschmerzen rückenschmerzen bandscheibenvorfall knochenbruch
    hüftprothese knieprothese schilddrüse schilddrüsenunterfunktion rheuma gicht krampfanfall angststörung
    depressionen essstörung suizid suizidal drogensucht alkoholsucht schwangerschaftsdiabetes kaiserschnitt
    fehlgeburt impfung geimpft antibiotikum antibiotika kortison tabletten überweisen krankenakte patientenakte
    krankengeschichte einweisung entlassbrief befunde röntgenbild magenspiegelung darmspiegelung hospitalisée
    hospitalisés pneumonie bronchite toux vertiges nausées vomissements insuline hypertendu cholestérol thyroïde
    anémie hanche prothèse cancers chimiothérapie radiothérapie biopsie irm échographie accouchement césarienne
    vaccin vaccins vacciné antibiotique antibiotiques antidépresseur dépressif schizophrénie avc phlébite eczéma
    hipertensa hipertenso diabética diabético fractura cadera rodilla ictus quimioterapia radioterapia colonoscopia
    endoscopia resonancia ecografía cesárea aborto vacuna vacunas vacunado antibiótico antibióticos antidepresivo
    ansiedad depresión esquizofrenia demencia epilepsia náuseas vómitos alérgica alérgico colesterol tiroides
    insulina penicilina vih polmonite tumore chemioterapia colonscopia risonanza ecografia cesareo vaccino vaccini
    antibiotico antibiotici antidepressivo depressione demenza epilessia tosse vomito allergico allergica
    colesterolo tiroide penicillina frattura ginocchio diabetico diabetica iperteso grávida vacina vacinas ansiedade
    depressão náusea tireoide fratura quadril joelho longontsteking hartaanval beroerte chemotherapie bestraling
    zwanger keizersnede antibiotica angststoornis depressie dementie koorts hoest misselijkheid braken suikerziekte
    schildklier nadciśnienie udar zawał astma grypa gorączka kaszel ból szczepienie szczepionka antybiotyk złamanie
    nowotworowa wypis pacjentowi ciężarna cesarskie miażdżyca padaczka otępienie lunginflammation hjärtinfarkt
    gravid feber hosta sköldkörtel
"""
STRONG = frozenset(_STRONG_TEXT.split())
# These make it clinical only beside another of them or a strong one.
_WEAK_TEXT = """
    patient patients doctor physician clinic clinical hospital nurse treatment treatments history medical health
    medicaid medicare gp hausarzt krankenkasse versichertenkarte mutuelle sécurité-sociale
    care guidelines management test tests results blood heart lung liver brain skin exam examination follow-up
    referral referred consult consultation appointment procedure condition disease diseases disorder infection
    risk screening female male infant elderly patientin arzt ärztin klinik krankenhaus hôpital médecin médico
    paciente pacientes clínica ospedale medico paziente ziekenhuis arts patiënt szpital lekarz pacjent pacjenta
    pacjentka sjukhus läkare sairaala lääkäri potilas sygehus læge sykehus lege pasient utente
"""
WEAK = frozenset(_WEAK_TEXT.split())

# Words of everyday care, which are about health only beside a strong one.
_CARE_TEXT = """
    visit visits visited seen appointments ward chart charts charted labs lab drawn refill refills scan scans sick
    followup session sessions nursing resident ambulance pharmacy pharmacist surgeon dentist injured
    injury fell swelling swollen bruise sore throat diet weight wound allergen report intake letter
    note notes boy girl dad mom mum mother father wife husband son daughter brother sister grandmother grandfather
    twin baby toddler drugs drug tablets pills mg ml takes taking prescriber member insurer denied appeal claim prior
    auth billing icd cpt hl7 fhir ehr emr dob soap termin praxis besuch überweisung rendez-vous cita turno visita
    wizyta
"""
CARE = frozenset(_CARE_TEXT.split())
