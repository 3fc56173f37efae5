"""Words of clinical text in many languages: conditions, treatment, findings, roles. Small letters, latin-1."""

from __future__ import annotations

# One of these makes a text clinical.
_STRONG_TEXT = """
    brustkrebs lungenkrebs darmkrebs hautkrebs prostatakrebs herzinsuffizienz niereninsuffizienz schmerzen epilepsie
    migräne demenz lungenentzündung arthrose infarctus cancéreux asthme épilepsie migraine dépression diabetische
    contraindications contraindication infections mrsa uti utis ovarian cholecystectomy biliary colic amiodarone
    gabapentin
        clozapine lorazepam doxorubicin eliquis methotrexate botox migraines rehab vaccinate vaccinating bleeding postop
    mammogram ultrasounds chemo nstemi stemi tia ablation stent stents
    diagnosed diagnosis diagnoses diagnostic prognosis hypertension diabetes diabetic cancer carcinoma melanoma
    lymphoma leukemia leukaemia tumor tumour metastatic metastasis chemotherapy radiotherapy oncology asthma
    copd pneumonia sepsis stroke epilepsy seizure seizures dementia alzheimer alzheimers parkinson parkinsons
    schizophrenia bipolar depression anxiety hiv aids hepatitis tuberculosis covid influenza bronchitis
    cirrhosis nephropathy neuropathy retinopathy dialysis transplant biopsy mri ct ecg ekg ultrasound endoscopy
    colonoscopy surgery surgical postoperative preoperative appendectomy arthroplasty mastectomy hysterectomy
    cesarean c-section arrhythmia fibrillation infarction angina cardiac cardiovascular coronary thrombosis
    embolism anticoagulation anticoagulant warfarin apixaban heparin aspirin ibuprofen acetaminophen paracetamol
    metformin insulin lisinopril atorvastatin statin statins amoxicillin antibiotic antibiotics levothyroxine
    prednisone corticosteroid steroids opioid opioids morphine oxycodone ssri sertraline fluoxetine lithium
    hypothyroidism hyperthyroidism thyroid anemia anaemia obesity hyperlipidemia cholesterol creatinine
    hemoglobin hba1c a1c glucose platelet leukocytes gerd reflux crohn crohns colitis ibs pancreatitis
    cholecystitis appendicitis migraine headaches headache arthritis osteoarthritis rheumatoid osteoporosis
    lupus psoriasis eczema dermatitis allergy allergies allergic anaphylaxis pregnancy pregnant prenatal
    gestational preeclampsia miscarriage infertility symptom symptoms syndrome lesion fracture edema dyspnea
    nausea vomiting fever cough rash pain chronic acute icu inpatient outpatient admitted admission discharge
    discharged hx tx rx dx pt pts htn dm2 t2dm chf ckd cad afib medication medications prescribed prescription
    dosage dose dosing vaccine vaccination immunization therapy autism adhd ptsd ocd psychosis suicidal overdose
    addiction alcoholism withdrawal sclerosis myeloma glioblastoma hernia gallstones kidney renal hepatic
    pulmonary gastrointestinal neurological psychiatric pediatric prematurity guillain sarcoidosis endometriosis
    fibroids menopause glaucoma cataract cataracts gout sciatica scoliosis diagnose diagnostiziert befund
    erkrankung krebs bluthochdruck blutdruck schlaganfall herzinfarkt behandlung therapie medikament medikamente
    allergie schwangerschaft symptome chirurgie operation krankheit psychotherapie anamnese entlassungsbrief
    arztbrief diagnostic cancer hypertension diabète traitement chirurgie maladie grossesse ordonnance symptômes
    tension antécédents hospitalisé hospitalisation diagnóstico cáncer hipertensión tratamiento cirugía
    enfermedad embarazo síntomas antecedentes hospitalizado ingreso dolor fiebre biopsia tumoración anamnesis
    exploración quirúrgica analítica hemograma diagnosi cancro ipertensione trattamento chirurgia malattia
    gravidanza sintomi anamnesi ricovero diabete diagnose kanker hoge bloeddruk behandeling ziekte zwangerschap
    klachten rozpoznanie nowotwór leczenie choroba ciąża objawy cukrzyca diagnos behandling sjukdom graviditet
    symtom diabetes diagnoosi syöpä verenpaine hoito sairaus raskaus oireet sygdom kræft sykdom kreft
    svangerskap blodtrykk câncer hipertensão tratamento cirurgia doença gravidez sintomas
"""
STRONG = frozenset(_STRONG_TEXT.split())
# These make it clinical only beside another of them or a strong one.
_WEAK_TEXT = """
    patient patients doctor physician clinic clinical hospital nurse treatment treatments history medical health
    care guidelines management test tests results blood heart lung liver brain skin exam examination follow-up
    referral referred consult consultation appointment procedure condition disease diseases disorder infection
    risk screening female male infant elderly patientin arzt ärztin klinik krankenhaus hôpital médecin médico
    paciente pacientes clínica ospedale medico paziente ziekenhuis arts patiënt szpital lekarz pacjent pacjenta
    pacjentka sjukhus läkare sairaala lääkäri potilas sygehus læge sykehus lege pasient utente
"""
WEAK = frozenset(_WEAK_TEXT.split())
