"""Given names that are common in the languages this product meets, in small letters; evidence, never proof."""

from __future__ import annotations

_FIRST_NAMES_TEXT = """
    aaliyah aaron abdul abdullah abebe abel abena abhishek abigail abraham adaeze adam adebayo adele adeline
    adnan adria adrian adriana adrienne agata agatha agnes agnieszka ahmad ahmed ahmet aidan aiden aiko ailsa
    aino aisha aisling aitana ajay akash aki akiko akin akira alan alana alanna alasdair alastair albert
    alberto albin alden alejandra alejandro aleksander aleksandra aleksei alessandra alessandro alessia
    alessio alex alexander alexandra alexandru alexei alexis alfonso alfred alfredo alhaji ali alice alicia
    alina alisa alison alistair aliyah allan allie allison alma alois alvaro amal amanda amara amaya amber
    amelia amelie amina amir amira amit amos amparo amrita amy ana anabel anastasia anders andrea andreas
    andrei andrej andres andrew andrzej andré andrés andy aneta angel angela angelica angelina angelo angus
    anika anil anita aniyah anjali ann anna annabel annabelle annalise anne anneke annelies annette annie
    annika anouk ansel anthony antoine anton antonella antonia antonio anya aoife april arash archie ariana
    arianna arjun armando arne arnold artem arthur artur arturo arun arvid asha asher ashley ashok ashraf asif
    asma astrid atticus aubrey audrey augustin aurelia aurora austin ava avery ayaan ayan ayesha ayla aylin
    ayse azadeh aziz bahar baran barbara barnaby bartek bartosz bashir bastian beata beatrice beatrix beatriz
    bela belen ben benedict benedikt benjamin bernadette bernard bernd bernice bertha beth bethany betty
    beverly bianca bilal bill billy birgit bjarne bjorn björn blanca bob bodo bogdan boris boubacar brad
    bradley brandi brandon brayden breanna brenda brendan brent brett brian brianna bridget brigitte britney
    britta brody bronwyn bruce bruno bryan bryce bryony caitlin caleb callum calvin cameron camila camilla
    camille candace carina carl carla carlo carlos carlotta carmel carmen carol carole carolina caroline
    caroll carolyn carrie carsten cassandra cassie catalina catarina cathal catherine cathy catriona cecil
    cecilia cedric celia celine cesar chad chandra chang chantal charlene charles charlie charlotte chen
    cherie cheryl chiara chidi chidinma chika chinedu chioma chloe chris christa christian christiane
    christina christine christof christoph christopher ciara cillian cindy claire clara clarence clarissa
    claude claudia claudio clemens clifford clinton clive cody colette colin colleen connie connor conor
    conrad constance constantin cora cordelia corey corinna corinne cornelia cory cosima courtney craig
    cristian cristiana cristina cristobal crystal curtis cynthia cyril dagmar daisy dale dalia damian damien
    dan dana daniel daniela daniele danielle danilo danny daphne daria dariusz darlene darnell darragh darrell
    darren dave david davide davina dawid dawn dean deandre debbie deborah debra declan deepa deepak deirdre
    delia della delphine demetrius denis denise dennis derek derrick desiree dhruv diana diane didier diego
    dieter dietmar dilan dilip dimitri dimitrios dina dinesh dirk diya djamila dmitri dmitry dolores domenico
    dominic dominik dominika dominique don donald donna donovan doreen doris dorota dorothea dorothy doug
    douglas duc duncan dunja dustin dwayne dylan ebba eddie edgar edith edmund eduardo edward edwin edyta
    eileen einar eirik ekaterina elaine eleanor elena eleni eli elias elif elijah elin eline elio eliot elisa
    elisabeth elise eliza elizabeth ella elle ellen ellie elliot elliott elodie eloise elsa elsie elton elvira
    emanuel emeka emerson emil emilia emiliano emilie emilio emily emir emma emmanuel emre enrico enrique enzo
    eric erica erich erik erika erin ernest ernesto erwin esmeralda esperanza esra esteban estelle esther
    ethan ethel etienne eugene eunice eva evan evangeline evelyn ewa ewan ezekiel ezra fabian fabien fabio
    fabrice fadi fahad farah farhan farid fatemeh fatih fatima fatou federica federico felicia felicity felipe
    felix femi ferdinand ferenc fergus fernanda fernando fikret filip filippa filippo finlay finley fiona
    flavia florence florian frances francesca francesco francine francis francisca francisco franco frank
    frankie franz franziska françois fred frederic frederick frederik freya frida frieda friedrich fumiko
    gabriel gabriela gabriele gabriella gabrielle gail galina gareth garrett gary gavin gemma genevieve geoff
    geoffrey george georgia georgina georgios gerald geraldine gerard gerardo gerda gerhard germaine gertrud
    ghassan giacomo gianluca gianni gideon gilbert gillian gina giorgia giorgio giovanna giovanni gisela
    giulia giuliana giulio giuseppe gladys glenda glenn gloria gonzalo goran gordon graham grazyna greg gregor
    gregory greta gretchen griffin grzegorz guadalupe gudrun guido guillaume guillermo gunnar gunther gustav
    gustavo guy gwen gwendolyn habib hadi hadiza hailey hakan halima hamid hamza hana hanan hania hanna hannah
    hanne hannelore hans harald harish harold haroon harriet harrison harry harvey hasan hassan hattie hayden
    hayley hazel heather hector heidi heike heiko heinrich heinz helen helena helene helga helge helmut
    hendrik henning henri henrietta henrik henry herbert herman hermann hideo hilary hilda hildegard hiroko
    hiroshi holger holly hong horst howard hubert hugo humberto hussein hyun iain ian ibrahim ida idris
    ignacio igor iker ikram ilaria ilona ilse iman imani imelda imogen imran ines inga inge ingeborg ingrid
    inka ioana ioannis irena irene irina iris irma irmgard isaac isabel isabella isabelle isaiah isla ismael
    ismail istvan itzel ivan ivana ivo ivonne iwona izabela jaana jacek jacinta jack jackie jackson jacob
    jacqueline jacques jada jaden jadwiga jagdish jaime jake jakob jakub jamal jameela james jamie jamila jan
    jana jane janelle janet janice janina janine janis janos janusz jared jarek jaroslav jarosław jasmin
    jasmine jason jasper javier jay jayden jayla jean jeanette jeanne jeannie jeff jeffrey jelena jemima jen
    jenna jennie jennifer jenny jens jeremy jerome jerry jerzy jesper jess jesse jessica jill jim jimena jimmy
    jin joachim joan joana joann joanna joanne joao joaquin joaquín jocelyn jochen jodie joe joel joelle joerg
    johan johana johann johanna johannes john johnny jolanta jon jonah jonas jonathan jordan jorge jose josef
    josefina joseph josephine josh joshua josiah josie josip josé joyce joão juan juana juanita judith judy
    juha jukka julia julian juliana julie julien juliet julieta juliette julio julius jun junko jurgen justin
    justine justyna jutta jörg jürgen kaan kaitlyn kajsa kamal kamil kamila kara karan kareem karen karim
    karin karina karl karla karolina karsten kasia kaspar katarina katarzyna kate katerina katharina katharine
    katherine kathleen kathrin kathryn kathy katie katja katrin katrina katya kay kayla kaylee kazuo keiko
    keisha keith kelechi kelly kelsey kelvin ken kendall kendra kenji kenneth kenny kerry kerstin kevin
    khadija khaled khalid khalil kiara kieran kiki kim kimberly kimiko kira kiran kirsten kirsty klara klaudia
    klaus knut kofi konrad konstantin kostas krista kristen kristian kristin kristina kristine krystyna
    krzysztof kumar kurt kwabena kwame kyle kylie kyra lachlan laila lakshmi lamine lara larissa larry lars
    latasha latisha latoya laura lauren laurence laurent laurie lauryn lavinia lawrence layla lea leah leandro
    leanne leif leila lena lennart lennox leo leon leona leonard leonardo leonie leonor leopold leroy lesley
    leslie leszek leticia levi lewis leyla liam liana lidia lieke liesbeth lila lilian liliana lilith lillian
    lilly lily lina linda lindsay lindsey linnea lionel lisa lise liselotte lisette liu livia liz liza lloyd
    logan lois lorena lorenz lorenzo loretta lori lorna lorraine lothar lotte lottie louis louisa louise
    lourdes luc luca lucas lucia luciana luciano lucie lucien lucille lucinda lucy ludovic ludwig luigi luis
    luisa luka lukas lukasz luke luther luz lydia lyn lynda lynette lynn léa mabel maciej mackenzie maddie
    maddison madeleine madeline madhavi madison maeve magda magdalena maggie mahmoud maia maira maisie maite
    maja makayla malcolm malgorzata malik malin mallory malte mamadou manfred manon manuel manuela mara marc
    marcel marcela marcelo marcia marcin marco marcos marcus marek margaret margarita margit margot marguerite
    maria mariam mariama marian mariana marianne maribel marie marielle marika marilyn marina mario marion
    marisa marisol marit marius marjorie mark marketa marko markus marlene marlies marlon marta marten martha
    martin martina martine martín marvin mary maryam maría masha massimo mateo mateusz mathias mathieu
    mathilde matias matilda matt matteo matthew matthias matthieu maureen maurice mauricio mauro max maxime
    maximilian maxine maya mbali megan mehdi mehmet mei melanie melek melina melinda melissa melvin mercedes
    meredith merle mette mia micah michael michaela michal michał micheal michel michele michelle michiko
    mieke miguel mihai mika mikael mike mikhail mikkel mila milena miles milica millie milo milos mindy ming
    minh miranda mireille miriam miroslav mirosław mitchell miyuki mohamed mohammad mohammed mohan moira molly
    mona monica monika monique morgan moritz morris morten mostafa moussa muhammad murat murray musa mustafa
    myra myriam nabil nadia nadine nadja naima najwa nancy nanette naoko naomi narges nasir nasrin natalia
    natalie natasha nathalie nathan nathaniel naveen nawal neal neha neil nellie nelly nelson nena nestor
    neville ngozi nguyen nia niamh nicholas nick nicola nicolai nicolas nicole nicoletta niels nigel nika
    nikhil nikita nikki niklas nikola nikolai nikolaos nikos nils nina nisha nkechi noa noah noel noelle noemi
    nola noor nora norbert noreen norma norman nour nuno nuria obinna octavia odette olaf olav oleg olena olga
    oliver olivia olivier olumide oluwaseun omar omer onur oona orla oscar oskar osman oswald otis otto owen
    ozan pablo paige paloma pam pamela paola paolo parisa parvati pascal pascale patricia patricio patrick
    patrycja patryk patsy patti paul paula paulette paulina pauline paulo pavel pawel paweł pedro peggy pekka
    penelope per percy pernille peter petra petros phil philip philipp philippa philippe phillip phoebe
    phyllis pia pierre pieter pietro pilar piotr pippa pooja porfirio prakash pranav priscilla priya
    przemyslaw puja qasim quentin rachael rachel radek radhika rafael rafal rafał ragnar rahel rahim rahul
    rainer raj rajesh rajiv ralf ralph ramesh rami ramiro ramon ramona randall randy rania raphael raquel
    rasheed rashid rasmus raul ravi ray rayan raymond rebecca rebekah reggie regina reginald reinhard remi
    rena renata renate rene renee rené reza rhiannon rhoda rhonda ricardo riccardo richard rick ricky rico
    riley rita ritu rob robbie robert roberta roberto robin rocio roderick rodney rodrigo roger rohan rohit
    roland rolf romain roman romina romy ron ronald ronan ronja rory rosa rosalie rosalind rosanna rosario
    rose rosemary rosie ross rowan roxana roxanne ruben rudolf rudy rufus rupert russell ruth ryan ryszard
    saba sabina sabine sabrina sadie saeed safiya sagar sahar sakura salim sally salma salman salome salvatore
    sam samantha samir samira samson samuel samya sana sandeep sander sandra sandro sandy sanjay sanna
    santiago santosh saoirse sara sarah sarita sascha saskia satoshi saul scott seamus sean sebastian
    sebastien selena selim selina selma serena sergei sergey sergio seth severin shabnam shane shania shannon
    sharif sharon shaun shawn shawna sheena sheila shelby sheldon shelley sherry shilpa shirin shirley shona
    shreya sibylle siddharth sidney sienna sigrid silke silvia silvio simon simona simone sindre siobhan sipho
    snezana sofia sofie solange soledad solomon solveig sondre sonia sonja sonya soo sophia sophie soren
    srinivas stacey stacy stanislav stanislaw stanisław stanley stavros stefan stefania stefanie stefano
    steffen stella stephan stephanie stephen steve steven stig stina stuart sue suhas sujata suki suleiman
    sumaya sunil sunita suresh susan susana susanna susanne susie suzanne sven svenja svetlana sybil sylvester
    sylvia sylvie sylwia szymon sönke søren sławomir tabitha tadeusz takashi talia talya tamar tamara tamika
    tammy tanisha tanja tanya tara tarek tariq taro tasha tatiana tatjana taylor ted temitope teresa terrance
    terrell terrence terri terry tessa thabo thandi thandiwe thanh thea thelma theo theodor theodora theodore
    theresa therese thierry thijs thomas thorsten tiago tiffany tilda tillman tim timo timothy tina tine
    tobias tobin todd tom tomas tomasz tommaso tommy tomoko toni tony tonya torben tore torsten tova tracey
    tracy travis tremaine trevor tricia trine trinh tristan trudy tuan tuomas tyler tyrone tyson uchenna ugo
    ulla ulrich ulrike umar umberto ursula usha uwe vadim valentin valentina valentine valeria valerie vanessa
    vasilis vasily vaughn vera verena vernon veronica veronika veronique vesna vicente vicki vicky victor
    victoria vidar vijay vikas viktor viktoria vilde ville vincent vincenzo violet violeta virginia vittoria
    vivek vivian viviana vivienne vladimir volker volodymyr waldemar waleed walter wanda warren wayne wei
    wendell wendy werner wesley whitney wieslaw wiktor wilbur wilfred wilhelm wilhelmina will willa willem
    william willie willis wilma winifred winnie witold wojciech wolfgang xavier xiao ximena xiomara yael
    yamile yan yana yannick yannis yasin yasmin yasmine yasser yoko yolanda yosef yoshiko yuki yuliya yumi
    yuri yusuf yves yvette yvonne zachary zahra zain zainab zara zbigniew zdenek zeinab zelda zena zeynep zoe
    zofia zoltan zsofia zubair zuri zuzana álvaro ángel élise émilie östen özlem łukasz şeyma
"""
FIRST_NAMES = frozenset(_FIRST_NAMES_TEXT.split())
