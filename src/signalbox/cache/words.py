"""Words that turn a question round, and words that say little, in the languages that most questions come in."""

from __future__ import annotations

# The value, then words for it; one value a line.
_NUMBERS = """
0 zero null nul cero cero nulla
1 eins jeden один
2 two zwei deux dos due dois dwa два
3 three drei trois tres tre três trzy три
4 four vier quatre cuatro quattro quatro cztery четыре
5 five fünf cinq cinco cinque pięć пять
6 six sechs seis sei sześć шесть
7 seven sieben sept siete sette sete siedem семь
8 eight acht huit ocho otto oito osiem восемь
9 nine neun neuf nueve nove dziewięć девять
10 ten zehn dix diez dieci dez dziesięć десять
11 eleven elf onze once undici
12 twelve zwölf douze doce dodici doze dozen dutzend
20 twenty zwanzig vingt veinte venti
100 hundred hundert cent cien cento
1000 thousand tausend mille mil
1/2 half halb halbe moitié mitad metà metade
x2 twice double zweimal doppelt
#1 first erste erster premier primero primo
#2 second zweite zweiter deuxième segundo secondo
#3 third dritte dritter troisième tercero terzo
"""
# Negations.
_NEGATIONS = """
not no never none nobody nothing neither nor without cannot unable except excluding lacks lack fail fails failed nicht
kein keine keinen keinem keiner keines nie niemals niemand nichts ohne weder außer ne pas jamais sans aucun aucune
rien personne ni sauf non nunca sin ningún ninguna ninguno nada nadie tampoco salvo não nem sem nenhum nenhuma mai
senza nessuno nessuna niente niet geen nooit zonder niks inte ingen inget aldrig utan ikke aldri uden bez nigdy nikt
nic żaden není nikdy žádný не нет ни без никогда никто ничего нельзя ні немає жоден değil yok asla hayır hiç olmadan
لا ليس لم لن بدون غير نہیں नहीं मत बिना
"""
# Words that are each other's counterparts, one group a line: with another one of its group a question is another.
_TURNS = """
more less fewer most least mehr weniger plus moins más menos mais menos più meno
higher lower highest lowest high low max maximum min minimum
above below over under über unter sur sous
before after since until till vor nach seit bis avant après antes después depois prima dopo desde hasta
to from von zu nach de à da a
into onto out
in out
on off ein aus
up down
left right
inside outside within
between among
buy sell bought sold kaufen verkaufen acheter vendre comprar vender comprare vendere
send receive sent received transfer receiving sending
borrow lend give take
open close opened closed reopen öffnen schließen ouvrir fermer abrir cerrar fechar aprire chiudere
start stop begin end
enable disable enabled disabled activate deactivate
allow deny block unblock accept reject approve decline accepted rejected approved declined
add remove delete create insert drop
lock unlock
increase decrease raise reduce grow shrink rise fall
gain lose win lost won
import export
upload download
encrypt decrypt
push pull
read write
install uninstall
login logout
connect disconnect attach detach
include exclude
pass fail
true false
yes no
old new young oldest newest alt neu
early late earliest latest
first last
best worst good bad better worse gut schlecht
safe unsafe dangerous
legal illegal
hot cold warm
big small large biggest smallest largest
long short
tall short
fast slow fastest slowest
cheap expensive cheapest dearest
rich poor
male female man woman men women
father mother
son daughter
husband wife
brother sister
king queen
he she
his her
morning evening day night
am pm
north south east west
public private
internal external
positive negative
credit debit
asset liability
parent child
teacher student
doctor patient
employer employee
landlord tenant
plaintiff defendant
buyer seller
sender recipient
deposit withdraw deposited withdrew
all any some none both
only also
"""
# Words that are in nearly every question.
_LITTLE = """
a an the is are was were be been do does did can could would will shall should may might i me my mine you your we our
us it its this that these those please kindly hi hello hey thanks thank so just and or of for with at as if then there
here what's i'm i'd i've let's tell know want need like der die das den dem des ein eine einen einem einer ist sind
war kann können könnte ich mir mein meine sie ihr bitte und oder für mit hallo danke le la les l' un une est sont je
j' mon ma mes vous votre s'il te plaît merci bonjour et ou pour avec el los las una unos es son yo mi mis usted su por
favor gracias hola y o para con os um uma é são eu meu minha e il lo gli uno è sono io mio mia per favore grazie ciao
"""

NUMBERS = {word: line.split()[0] for line in _NUMBERS.strip().splitlines() for word in line.split()[1:]}
NEGATIONS = frozenset(_NEGATIONS.split())
# To the groups that a word belongs to.
TURNS: dict[str, set[int]] = {}
for _number, _line in enumerate(_TURNS.strip().splitlines()):
    for _word in _line.split():
        TURNS.setdefault(_word, set()).add(_number)
LITTLE = frozenset(_LITTLE.split())
