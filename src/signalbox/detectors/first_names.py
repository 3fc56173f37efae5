"""Given names that are common in the languages this product meets, in small letters; evidence, never proof."""

from __future__ import annotations

_FIRST_NAMES_TEXT = """
    aaron abdul abdullah abigail adam adrian adriana agata agnes agnieszka ahmad ahmed aisha aki akira alan
    albert alberto alejandra alejandro aleksander aleksandra alessandra alessandro alex alexander alexandra
    alexei alexis alfonso alfred ali alice alicia alina alisa alison allison alma alvaro amanda amber amelia
    amina amir amit amy ana anastasia anders andrea andreas andrei andrew andrzej andré andrés andy angel angela
    angelica angelina angelo anita ann anna anne annette annie anthony anton antonia antonio anya april ariana
    arjun arthur artur arturo asha ashley astrid aurora austin ava aylin ayesha barbara bartosz beata beatrice
    beatriz ben benjamin bernard bernd beth betty beverly bianca bill billy birgit björn bob bogdan boris brad
    brandon brenda brian brigitte britta bruce bruno bryan caitlin caleb cameron camila camille carl carla carlo
    carlos carmen carol carolina caroline caroll carolyn carrie catarina catherine cecilia celine chad chantal
    charles charlie charlotte chen cheryl chiara chloe chris christa christian christina christine christopher
    claire clara claudia claudio cody colin connie connor corinna courtney craig cristina crystal curtis cynthia
    dagmar daisy dale damian dan dana daniel daniela daniele danielle danny daria darren dave david dawn dean
    deborah debra deepak denis denise dennis derek diana diane diego dieter dimitri dirk dmitri dominik
    dominique don donald donna doris dorota dorothy doug douglas dylan eddie eduardo edward edyta eileen elaine
    elena eli elias elif elijah elisa elisabeth elizabeth ella ellen ellie elsa emil emilia emily emma emmanuel
    enrico enrique eric erica erik erika erin ernest esteban esther ethan eugene eva evan evelyn ewa fabian
    farah fatima federica federico felicia felix fernanda fernando filip fiona florence florian frances
    francesca francesco francis francisco frank frankie franz françois frederic frederik friedrich gabriel
    gabriela gabriele gail gary gavin george georgia gerald gerard gerhard giorgio giovanni giulia giuseppe
    glenn gloria gonzalo gordon graham greg gregory greta grzegorz guillermo gustav gustavo guy hannah hans
    harald harold harry hassan hazel heather hector heidi heike heinrich heinz helen helena helga helmut henri
    henrik henry herbert hiroshi holger holly hong howard hubert hugo ian ibrahim ida ignacio igor ines inga
    ingrid irene irina iris isaac isabel isabella isabelle ivan jack jackie jackson jacob jacqueline jacques
    jaime jake jakob jakub james jamie jan jana jane janet janice janina janusz jarosław jasmin jasmine jason
    javier jay jean jeff jeffrey jen jennifer jenny jens jeremy jerry jerzy jesse jessica jill jim jimmy jin
    joan joana joanna joanne joao joaquín joe joel johan johanna johannes john johnny jon jonas jonathan jordan
    jorge joseph joshua josé josef josefina joyce joão juan juana juanita judith judy juha julia julian juliana
    julie julien juliette jun justin justyna jutta jürgen kamil kamila karen karim karin karina karl karolina
    kate katarina katarzyna kate katharina katherine kathleen kathryn kathy katie kay keith kelly ken kenji
    kenneth kevin khadija khalid kim kimberly kirsten klara klaus kofi konrad krista kristen kristin kristina
    krystyna krzysztof kurt kyle lakshmi lara larry lars laura lauren laurent lea leah leila lena leo leon
    leonard leonardo leonie leslie leticia liam lila lillian lily linda lisa liu logan lorena lorenzo lori louis
    louise luca lucas lucia lucy ludwig luigi luis luisa lukas luke luz lydia lynn léa maciej madeleine madison
    magda magdalena mahmoud maja malgorzata mallory manfred manuel manuela marc marcel marcin marco marcos
    marcus margaret margarita maria mariam marian mariana marianne marie marina mario marion marisol marjorie
    mark marko markus marlene marta martha martin martina martín marvin mary mary maría mateo mateusz mathias
    matteo matthew matthias maureen max maya megan mehmet mei melanie melissa mercedes mia micah michael michal
    michał michel michele michelle miguel mika mikael mike mikhail miles milena mindy ming minh miriam mirosław
    mitchell mohamed mohammad mohammed molly monica monika morgan moritz muhammad murat mustafa nadia nadine
    nancy naomi natalia natalie natasha nathan neil nelson nia nicholas nick nicola nicolas nicole nigel nikhil
    niklas nikolai nils nina noah noel nora norbert norma norman nuno olaf olga oliver olivia olivier omar oscar
    oskar otto owen pablo paige pam pamela paola paolo pascal patricia patrick patryk paul paula paulina pauline
    paulo paweł pedro peggy penelope per peter petra phil philip philipp philippe phillip phyllis pia pierre
    pilar piotr priya rachel rafael rafał rahul raj rajesh ralf ralph ramon ramona randy raquel rashid raul ravi
    ray raymond rebecca regina reinhard renata rené ricardo riccardo richard rick rita rob robert roberta
    roberto robin rodrigo roger roland rolf roman ron ronald rosa rosalind rosario rose rosemary ross roxanne
    ruben russell ruth ryan sabine sabrina sally salma salvatore sam samantha samir samuel sandra sandy sanjay
    santiago sara sarah sascha scott sean sebastian selena sergei sergio seth shane shannon sharon shawn sheila
    sherry shirley silke silvia simon simona simone sofia solomon sonia sophia sophie stacey stacy stanisław
    stanley stefan stefania stefano stella stephan stephanie stephen steve steven stuart sue suresh susan susana
    susanne suzanne svetlana sven sylvia sylvie sławomir sönke takashi tamara tanya tara tariq tatiana taylor
    ted teresa terry thea theo theodore theresa thomas thorsten tiffany tim timothy tina tobias todd tom tomas
    tomasz tommy toni tony tracy travis trevor tyler ulrich ulrike ursula uwe valentina valeria valerie vanessa
    vera veronica veronika vicente vicki victor victoria viktor viktoria vincent vincenzo violet virginia vivian
    vladimir waldemar walter wanda wayne wei wendy werner wiktor will william willie wilhelm wojciech wolfgang
    xavier xiao yan yasmin yolanda yuki yusuf yuri yves yvonne zachary zainab zbigniew zofia zoe álvaro ángel
    élise émilie östen özlem łukasz şeyma
"""
FIRST_NAMES = frozenset(_FIRST_NAMES_TEXT.split())
