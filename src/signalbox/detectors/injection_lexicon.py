"""The words that injections are made of, in some twenty languages, each with the one letter of what it stands for.

A text is read as a string of these letters (`.` for any other word, `|` between sentences, `#` for a forged frame of
a conversation), so that one short pattern holds in all languages and for all their synonyms.
"""

from __future__ import annotations

WORDS: dict[str, str] = {
    # to ignore, forget, override
    "I": """ignore ignoring ignored ignor ingore ignroe ignores disregard disregarding disregarded disregards forget
    forgetting forgot forgotten neglect override overriding overrule overwrite overwriting bypass bypassing
    circumvent discard drop dismiss erase nullify void abandon supersede supersedes replace skip unlearn
    omit suspend cancel stop delete deactivate disable abweichend ignoriere ignorier ignorieren ignoriert
    vergiss vergesst vergessen missachte missachten verwirf umgehe streichen ignorez ignorer oublie oubliez
    oublier contourne contournez ignora ignoren ignorar ignorad olvida olvide olviden olvidad olvidar omite
    descarta dimentica dimenticate dimenticare ignorate ignorare trascura esqueça esqueca esqueçam esquece
    esquecer desconsidere desconsidera negeer vergeet ignoreer zignoruj ignoruj ignorujcie zapomnij
    zapomnijcie pomiń игнорируй игнорируйте проигнорируй проигнорируйте забудь забудьте забыть ігноруй
    забудьте zaboravi zaboravite ignoriši ignorirajte zapomeň ignorujte zabudnite uitați ignoră uită
    ignorați glöm ignorera glem unohda felejtsd abaikan lupakan hiraukan yoksay unut unutun görmezden bỏ
    تجاهل انس انسى अनदेखा भूल नज़रअंदाज αγνόησε ξέχασε puuza""",
    # what came before
    "P": """previous previously prior earlier before former aforementioned original initial initially hitherto
    precedent previos previus privious vorherigen vorherige vorheriger vorangegangenen vorangehenden
    vorausgehenden bisherigen bisherige vorigen früheren bisher davor zuvor ursprünglichen précédentes
    précédents précédente précédent antérieures avant anteriores anterior previas previa previos previo
    antes precedenti precedente prima prévias vorige eerdere voorgaande poprzednie poprzednich wcześniejsze
    предыдущие предыдущих предыдущую прежние ранее вище попередні prethodne prethodna prethodnih předchozí
    predchádzajúce anterioare tidigare föregående tidligere foregående aiemmat korábbi sebelumnya önceki
    trước السابقة السابق पिछले पिछली पहले προηγούμενες""",
    # the same, by place
    "a": "above preceding foregoing obigen obige bovenstaande powyższe вышеуказанные acima arriba sopra yukarıdaki",
    # instructions
    "N": """initialization initialisation instruction instructions instrutions instuctions intructions instructons
    prompt prompts preprompt metaprompt directive directives command commands order orders rule rules
    guideline guidelines directions direction programming request requests preamble anweisung anweisungen
    instruktionen instruktion befehle befehl aufträge auftrag anordnungen vorgaben regeln regel richtlinien
    consigne consignes règle règles directives ordres instrucción instrucciones instruccion órdenes reglas
    regla indicaciones istruzione istruzioni regole comandi ordini instruções instrução instrucoes regras
    ordens instructies instructie opdrachten regels instrukcje instrukcji polecenia polecenie zasady
    инструкции инструкцию инструкций указания правила команды инструкція інструкції instrukcije instrukcija
    upute naredbe pokyny instrukce inštrukcie instrucțiunile instrucțiuni instruktioner instruksjoner
    instrukser ohjeet utasítást utasításokat instruksi perintah aturan talimatları talimatlarını talimat
    kurallar hướng dẫn التعليمات تعليمات الأوامر निर्देश निर्देशों οδηγίες maagizo""",
    # what is said or written; tasks
    "T": """webpage website article resume function page passage text texts message messages conversation context
    word words sentence sentences paragraph paragraphs line lines content contents statement statements
    document documents chat thread dialogue history task tasks assignment assignments information input
    inputs data thoughts knowledge training discussed told said discussion phrase phrases aufgaben aufgabe
    text texte informationen nachrichten ausführungen gesagt besprochen kopf tâches texte tarea tareas texto
    textos compiti testo tarefas tekst текст tekstas tugas metin""",
    # secrets
    "K": """password passwords passwd passord passcode passcodes passphrase credential credentials passwort kennwort
    zugangscode contraseña contrasena contraseñas clave senha wachtwoord hasło пароль пароля parola şifre
    lozinka heslo lösenord kata sandi flag""",
    "k": """access security code codes key keys secret secrets token tokens confidential hidden private geheime
    geheimen geheimnis secreto secreta secrète segreto segredo código codice geheim sekret секрет код""",
    # to show, to repeat
    "R": """reveal reveals revealing show print display repeat recite tell give disclose expose leak dump output
    echo return share list copy paste reproduce provide recall regurgitate retype restate quote confirm
    verbatim send zeige zeig zeigen vorzeigen wiederhole wiederholen gib nenne verrate sag sage sagen drucke
    montre montrez affiche affichez répète répétez révèle révélez dites dis donne muestra muestre mostrar
    revela revele repite repita dime diga di mostra mostrami rivela ripeti dimmi stampa revele mostre repita
    toon herhaal onthul pokaż powtórz ujawnij podaj покажи покажите повтори повторите раскрой скажи скажите
    выведи prikaži ponovi ukaž zobraz opakuj arată repetă visa upprepa vis gjenta tampilkan ulangi katakan
    göster tekrarla söyle اعرض كرر أظهر दिखाओ बताओ""",
    # to say, to write
    "W": """say write answer respond reply explain describe summarize summarise type state produce generate create
    speak mention include append add compose translate schreibe schreib antworte beantworte formuliere écris
    écrivez réponds répondez traduis escribe escriba responde traduce scrivi rispondi escreva schrijf napisz
    напиши напишите ответь tulis yaz""",
    # to change the form of it
    "Q": """encode encoded decode base64 rot13 reverse reversed backwards backward spell spelled cipher caesar hex
    morse leetspeak emoji emojis acrostic pig latin uppercase lowercase interleaved""",
    "Y": """you your yours yourself youre u ur yu chatgpt gpt claude gemini llama du dein deine deinen deiner dich
    dir ihr ihre ihren sie tu ton ta tes toi vous votre vos tú tus usted ustedes tuo tuoi tua tue você voce
    seu sua seus suas jij je jouw uw twoje twój twoich ты вы твои твой ваши ваш тебя вас kamu anda sen senin
    siz""",
    "M": """my mine i im me us our we mir mein meine uns moi mon mes nous mi mis nosotros mio мои мой мне meu minha
    mij""",
    # to play somebody
    "A": """act acting pretend pretending roleplay roleplaying role-play imagine simulate simulating simulation
    emulate impersonate behave assume portray embody become play playing speiele spiele simuliere stell
    stelle fungieren fungiere imagina imagine finge actúa actua simula agis imaginez simulez joue comportati
    fingi finja atue udawaj zachowuj представь притворись веди""",
    "C": """character characters persona personas role roles personality alter ego villain protagonist confidant
    machiavelli actor rolle charakter personaje personnage rôle personaggio personagem papel rola роль""",
    "H": """hypothetical hypothetically fictional fiction fictitious story scenario movie novel dream parallel
    universe world dystopian game suppose let's lets narrative screenplay""",
    # without limits
    "U": """unfiltered uncensored unrestricted amoral unethical immoral unlimited jailbroken jailbreak jailbreaking
    jailbreaks dan evil malicious unbound unchained liberated unhinged uncensor illegal inhumane harmful
    dangerous forbidden toxic offensive explicit evilbot stan dude""",
    "L": """restriction restrictions limitation limitations limit limits filter filters filtering censorship
    censored ethics ethical morals moral morality policy policies safety guardrail guardrails safeguard
    safeguards boundaries constraint constraints protocols disclaimer disclaimers warnings refuse refusal
    refusing apologize apologies sorry consequences norms alignment moderation restricciones restrictions
    einschränkungen beschränkungen restrições restrizioni ограничений ограничения""",
    "X": """without no not never dont doesnt cannot cant wont none neither nor ohne nicht kein keine nie sans pas
    aucune jamais sin ninguna nunca senza non sem não nao zonder geen bez nie без не никогда""",
    "F": """now henceforth onwards onward hereafter instead jetzt nun ab stattdessen maintenant désormais ahora
    adelante adesso agora nu voortaan teraz теперь отныне сейчас sekarang şimdi""",
    "J": """new real actual true next different updated actually neue neuen neuer nouvelle nouvelles nuevo nueva
    nuevas nuove nuova novas nova nieuwe nowe новые новая nova baru yeni""",
    "S": """system systems developer dev admin administrator root sudo debug debugging maintenance superuser
    operator owner creator openai anthropic systemprompt sys système sistema systemu системный системные
    sistem""",
    "B": "ai chatbot bot assistant assistants model llm agent agents ki ia ии chatbots language asistente assistente",
    "G": "mode modes modus modo session override overrides режим mod",
    "n": """enabled enable activated activate activating unlocked unlock disabled aktiviert activé activado""",
    "E": """all any every entire whole full complete exact each alle allen aller sämtliche jegliche ganzen tous
    toutes tout toute todas todos toda todo tutte tutti tutto alla wszystkie wszystkich все всех всё sve sva
    všechny všetky toate semua tüm tất جميع كل सभी""",
    "e": "everything anything everthing alles tudo wszystko",
    "D": """important urgent attention warning critical immediately must strictly required mandatory priority
    precedence highest wichtig dringend importante urgente obligatoire важно""",
    "O": """follow following followed obey comply adhere execute perform abide listen heed befolge befolgen folge
    folgen suivez suis obéis sigue siga obedece segui siga volg выполни следуй process processing""",
    "Z": """beginning begin begins start starting starts first top last опening anfang début principio inizio início
    начало""",
    "V": "break breaking broken escape freed free bound confines typical adhered shackles",
    "v": """irrelevant false invalid obsolete outdated canceled cancelled wrong mistake longer fake expired revoked
    superseded finished over complete completed done concluded terminated irrelevant ungültig""",
    "q": """what whats which was que cuál cual quel quelle quelles quais qual quali welche wat jakie co что какие
    какой""",
    "r": "are is were have had been given received re bist sind ist es est son sono é são",
    "&": "and then und et y e i и dann puis luego then",
    "g": "granted approved authorized",
    "$": """hack hacking phishing malware bomb weapon weapons meth exploit ransomware keylogger steal kill murder
    poison explosive explosives racist sexist""",
}

# What stands for itself in scripts that put no spaces between words.
UNSPACED: tuple[tuple[str, str], ...] = (
    *((word, " ignore ") for word in ("忽略", "无视", "無視", "忘记", "忘記", "忘れ", "무시", "잊어", "ละเว้น")),
    *((word, " previous ") for word in ("之前", "以前", "上述", "先前", "前の", "これまで", "上記", "이전", "ก่อนหน้า")),
    *((word, " all ") for word in ("所有", "全部", "すべて", "全て", "모든")),
    *((word, " instructions ") for word in ("指令", "指示", "提示词", "命令", "プロンプト", "지시", "명령", "คำสั่ง")),
    *((word, " password ") for word in ("密码", "密碼", "パスワード", "비밀번호")),
    *((word, " reveal ") for word in ("显示", "告诉", "输出", "重复", "教えて", "表示して", "알려", "보여")),
    *((word, " system ") for word in ("系统", "系統", "システム", "시스템")),
    *((word, " you ") for word in ("你", "您", "あなた", "당신")),
)

LETTERS: dict[str, str] = {word: letter for letter, words in reversed(WORDS.items()) for word in words.split()}
