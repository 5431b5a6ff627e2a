"""The glossary's words: four small dictionaries of a kitchen, and how their words change form.

A line of nouns is ``forms = English class``: the singular, after a comma the plural where it is not
formed by rule, ``+`` where it is, ``!`` where there is none. Classes: D dish, F food, S sauce,
P plate, T table. A line of adjectives is ``base = English rank``: 0 homemade and fresh, 1 color,
2 shape, 3 those that stay with their noun, such as "fried". Phrases are written as they come.
"""

from collections.abc import Callable, Mapping

ENGLISH_PLURALS = {"leaf": "leaves", "shrimp": "shrimp", "tomato": "tomatoes", "potato": "potatoes"}
# Dictionary words in the plural, as they stand before another noun: prawns, but prawn curry.
ENGLISH_SINGULARS = {"prawns": "prawn", "fried eggs": "fried egg", "champignons": "champignon"}

NOUNS = {
    "de": """
        suppe = soup D; brühe = broth D; curry = curry D; masala = masala D
        nudel, nudeln = noodle D; pasta = pasta D; schale = bowl D; reis = rice F; salat = salad D
        blattsalat = leafy greens D; pizza = pizza D; fladenbrot = flatbread D; burger = burger D
        sandwich = sandwich D; pfannkuchen = pancakes D; plinse, plinsen = hotcake D
        taco, tacos = taco D; tortilla, tortillas = tortilla D; pastete = pie D; tarte = tart D
        sushi = sushi D; maki = maki F; rolle, rollen = roll D; spieß, spieße = skewer D
        kebab, kebabs = kebab D; hähnchen = chicken F; geflügel = poultry F; rindfleisch = beef F
        steak = steak F; garnele, garnelen = shrimp F; riesengarnelen! = prawns F
        lachs = salmon F; fisch = fish F; tofu = tofu F; sojaquark = bean curd F; ei, eier = egg F
        spiegelei! = fried eggs F; spiegeleier! = fried eggs F; spiegeleiern! = fried eggs F
        pilz, pilze = mushroom F
        tomate, tomaten = tomato F; champignon! = champignons F; champignons! = champignons F
        kartoffel, kartoffeln = potato F; karotte, karotten = carrot F; basilikum = basil F
        blatt, blätter = leaf F; petersilie = parsley F; kraut, kräuter = herb F; sesam = sesame F
        korn, körner = seed F; chili = chili F; chiliflocken! = red pepper flakes F
        zitrone = lemon F; zitronen = lemon F; scheibe, scheiben = slice F
        zwiebel, zwiebeln = onion F; ring, ringe = ring F; olive, oliven = olive F
        käse = cheese F; soße = sauce S; sahne = cream F; pesto = pesto S; soja = soy F
        kurkuma = turmeric F; teller = plate P; platte = dish P; tisch = table T; holz = wood T
        theke = counter T; marmor = marble T; tuch = cloth T; tischdecke = tablecloth T
        tafel = board T; schiefer = slate T; leinen = linen T; arbeitsplatte = worktop T
        stahl = steel T; oberfläche = surface T; metall = metal T
    """,
    "es": """
        sopa+ = soup D; caldo+ = broth D; curry! = curry D; masala! = masala D; fideo+ = noodle D
        pasta! = pasta D; bol, boles = bowl D; arroz! = rice F; ensalada+ = salad D
        hojas verdes! = leafy greens D; pizza+ = pizza D; pan plano! = flatbread D
        hamburguesa+ = burger D; sándwich! = sandwich D; panqueque+ = pancake D
        tortita+ = hotcake D; taco+ = taco D; tortilla+ = tortilla D; pastel, pasteles = pie D
        tarta+ = tart D; sushi! = sushi D; rollo+ = roll D; maki! = maki F; brocheta+ = skewer D
        kebab+ = kebab D; pollo! = chicken F; ave! = poultry F; ternera! = beef F
        bistec! = steak F; camarón, camarones = shrimp F; langostinos! = prawns F
        salmón! = salmon F; pescado! = fish F; tofu! = tofu F; cuajada de soja! = bean curd F
        huevo+ = egg F; seta! = mushroom F; setas! = mushroom F; champiñones! = champignons F
        tomate+ = tomato F; patata+ = potato F; zanahoria+ = carrot F; albahaca! = basil F
        hoja+ = leaf F; perejil! = parsley F; hierba+ = herb F; sésamo! = sesame F
        semilla+ = seed F; chile! = chili F; copo+ = flake F; pimiento rojo! = red pepper F
        limón! = lemon F; rodaja+ = slice F; cebolla! = onion F; aro+ = ring F
        aceituna+ = olive F; queso! = cheese F; salsa+ = sauce S; nata! = cream F
        pesto! = pesto S; soja! = soy F; cúrcuma! = turmeric F; plato! = plate P; fuente! = dish P
        mesa! = table T; madera! = wood T; encimera! = counter T; mármol! = marble T
        paño! = cloth T; mantel! = tablecloth T; tabla! = board T; pizarra! = slate T
        lino! = linen T; mesa de trabajo! = worktop T; acero! = steel T; superficie! = surface T
        metal! = metal T
    """,
    "fr": """
        soupe+ = soup D; bouillon! = broth D; curry! = curry D; masala! = masala D
        nouille+ = noodle D; pâtes! = pasta D; bol! = bowl D; riz! = rice F; salade+ = salad D
        feuilles vertes! = leafy greens D; pizza+ = pizza D; pain plat! = flatbread D
        burger+ = burger D; sandwich! = sandwich D; crêpe+ = pancake D; galette+ = hotcake D
        taco+ = taco D; tortilla+ = tortilla D; tourte+ = pie D; tarte+ = tart D; sushi! = sushi D
        rouleau, rouleaux = roll D; maki! = maki F; brochette+ = skewer D; kebab+ = kebab D
        poulet! = chicken F; volaille! = poultry F; bœuf! = beef F; steak! = steak F
        crevettes! = shrimp F; gambas! = prawns F; saumon! = salmon F; poisson! = fish F
        tofu! = tofu F; caillé de soja! = bean curd F; œuf+ = egg F; œufs au plat! = fried eggs F
        champignons! = mushroom F; champignons de paris! = champignons F; tomate+ = tomato F
        pomme de terre! = potato F; pommes de terre! = potatoes F; carotte+ = carrot F
        basilic! = basil F; feuille+ = leaf F; persil! = parsley F; herbe+ = herb F
        sésame! = sesame F; graine+ = seed F; piment! = chili F; flocon+ = flake F
        piment rouge! = red pepper F; citron! = lemon F; tranche+ = slice F; oignon! = onion F
        rondelles d'oignon! = onion rings F; olive+ = olive F; fromage! = cheese F
        sauce+ = sauce S; crème! = cream F; pesto! = pesto S; soja! = soy F; curcuma! = turmeric F
        assiette! = plate P; plat! = dish P; table! = table T; bois! = wood T
        comptoir! = counter T; marbre! = marble T; tissu! = cloth T; nappe! = tablecloth T
        planche! = board T; ardoise! = slate T; lin! = linen T; plan de travail! = worktop T
        acier! = steel T; surface! = surface T; métal! = metal T
    """,
    "it": """
        zuppa, zuppe = soup D; brodo, brodi = broth D; curry! = curry D; masala! = masala D
        tagliatelle! = noodles D; pasta! = pasta D; ciotola! = bowl D; riso! = rice F
        insalata, insalate = salad D; verdure a foglia! = leafy greens D; pizza, pizze = pizza D
        focaccia! = flatbread D; hamburger! = burger D; panino! = sandwich D
        pancake! = pancakes D; frittella, frittelle = hotcake D; tacos! = tacos D
        tortillas! = tortillas D; torta salata! = pie D; crostata! = tart D; sushi! = sushi D
        rotolino, rotolini = roll D; maki! = maki F; spiedino, spiedini = skewer D
        kebab! = kebabs D; pollo! = chicken F; pollame! = poultry F; manzo! = beef F
        bistecca! = steak F; gamberetto, gamberetti = shrimp F; gamberoni! = prawns F
        salmone! = salmon F; pesce! = fish F; tofu! = tofu F; cagliata di soia! = bean curd F
        uovo, uova = egg F; fungo! = mushroom F; funghi! = mushroom F; champignon! = champignons F
        pomodoro, pomodori = tomato F; patata, patate = potato F; carota, carote = carrot F
        basilico! = basil F; foglia, foglie = leaf F; prezzemolo! = parsley F; erba, erbe = herb F
        sesamo! = sesame F; seme, semi = seed F; peperoncino! = chili F
        fiocchi di peperoncino! = red pepper flakes F; limone! = lemon F; fetta, fette = slice F
        cipolla! = onion F; anello, anelli = ring F; oliva, olive = olive F; formaggio! = cheese F
        salsa, salse = sauce S; panna! = cream F; pesto! = pesto S; soia! = soy F
        curcuma! = turmeric F; piatto! = plate P; piatto da portata! = dish P; tavolo! = table T
        legno! = wood T; bancone! = counter T; marmo! = marble T; panno! = cloth T
        tovaglia! = tablecloth T; lastra! = board T; ardesia! = slate T; lino! = linen T
        piano di lavoro! = worktop T; acciaio! = steel T; superficie! = surface T
        metallo! = metal T
    """,
}
ADJECTIVES = {
    "de": """
        hausgemacht = homemade 0; frisch = fresh 0; weiß = white 1; blau = blue 1; rot = red 1
        grün = green 1; schwarz = black 1; gelb = yellow 1; braun = brown 1; rosafarben = pink 1
        beig = beige 1; dunkl = dark 1; kariert = checkered 1; rund = round 2
        kreisrund = circular 2; quadratisch = square 2; eckig = angular 2; oval = oval 2
        länglich = oblong 2; gebraten = fried 3; gerieben = grated 3; gehackt = chopped 3
    """,
    "es": """
        casero = homemade 0; fresco = fresh 0; blanco = white 1; azul = blue 1; rojo = red 1
        verde = green 1; negro = black 1; amarillo = yellow 1; marrón = brown 1; rosado = pink 1
        beige = beige 1; oscuro = dark 1; a cuadros = checkered 1; redondo = round 2
        circular = circular 2; cuadrado = square 2; angular = angular 2; ovalado = oval 2
        alargado = oblong 2; frito = fried 3; rallado = grated 3; picado = chopped 3
    """,
    "fr": """
        maison = homemade 0; frais = fresh 0; blanc = white 1; bleu = blue 1; rouge = red 1
        vert = green 1; noir = black 1; jaune = yellow 1; marron = brown 1; rose = pink 1
        brun = brown 1; beige = beige 1; foncé = dark 1; à carreaux = checkered 1; rond = round 2
        circulaire = circular 2; carré = square 2; anguleux = angular 2; ovale = oval 2
        allongé = oblong 2; frit = fried 3; râpé = grated 3; haché = chopped 3
    """,
    "it": """
        fatto in casa = homemade 0; fresco = fresh 0; bianco = white 1; blu = blue 1
        rosso = red 1; verde = green 1; nero = black 1; giallo = yellow 1; marrone = brown 1
        rosa = pink 1; beige = beige 1; scuro = dark 1; a quadri = checkered 1; rotondo = round 2
        circolare = circular 2; quadrato = square 2; spigoloso = angular 2; ovale = oval 2
        oblungo = oblong 2; fritto = fried 3; grattugiato = grated 3; tritato = chopped 3
    """,
}
# How a phrase joins what follows: "on", or what it is before a sauce after a stroke ("on|in").
# Participles ("cubierto de") take the endings of adjectives.
LINKS = {
    "de": """
        mit = with; in = in; auf = on; über = over; bedeckt mit = covered in
        belegt mit = topped with; garniert mit = garnished with; serviert auf = served on
        ein foto von = a photo of
    """,
    "es": """
        con = with; en = on|in; sobre = on; encima de = over; cubierto de = covered in
        coronado con = topped with; adornado con = garnished with; servido en = served on
        una foto de = a photo of
    """,
    "fr": """
        avec = with; sur = on; posé sur = over; nappé de = covered in; nappé d' = covered in
        surmonté de = topped with; surmonté d' = topped with; garni de = garnished with
        garni d' = garnished with; servi sur = served on; une photo de = a photo of
    """,
    "it": """
        con = with; su = on; sopra = over; ricoperto di = covered in
        sormontato da = topped with; guarnito con = garnished with; servito su = served on
        una foto di = a photo of
    """,
}
# The small words: articles that English has too, those that it leaves out, joints between nouns
# ("of"; "at", which before a sauce is "in"; "made", which after anything but a table or a plate is
# "in"), and what comes after a noun.
SMALL = {
    "de": {"article": "ein einer einem eine eines einen", "after": "obendrauf"},
    "es": {"article": "un una", "of": "de|del|y|e", "after": "por encima"},
    "fr": {
        "article": "un une", "some": "du|de la|de l'|des", "of": "de|d'|en",
        "at": "au|aux|à la|à l'", "after": "sur le dessus",
    },
    "it": {
        "article": "un una uno un'", "of": "di|d'|da",
        "at": "al|allo|alla|all'|ai|agli|alle", "made": "in", "after": "in cima",
    },
}  # fmt: skip
MADE_OF = {"wood": "wooden"}  # how a material is said before a thing


def plural_of(form: str, language: str) -> str:
    """The plural by rule: Spanish and French; other languages list theirs.

    >>> plural_of("sopa", "es"), plural_of("azul", "es"), plural_of("crêpe", "fr")
    ('sopas', 'azules', 'crêpes')
    """
    return form + ("es" if language == "es" and form[-1] in "lnrsz" else "s")


def _german(base: str) -> set[str]:
    return {base + ending for ending in ("", "e", "er", "es", "en", "em")}


def _spanish(base: str) -> set[str]:
    if base.endswith("o"):
        return {base[:-1] + ending for ending in ("o", "a", "os", "as")}
    return {base, plural_of(base, "es")}


def _french(base: str) -> set[str]:
    irregular = {"blanc": "blanche", "frais": "fraîche", "anguleux": "anguleuse"}
    feminine = irregular.get(base, base if base.endswith("e") else base + "e")
    return {base, feminine, feminine + "s", base if base.endswith(("s", "x")) else base + "s"}


def _italian(base: str) -> set[str]:
    if base.endswith("o"):
        hard = "h" if base.endswith("co") else ""
        return {base, base[:-1] + "a", *(base[:-1] + h + e for e in "ie" for h in {"", hard})}
    return {base, base[:-1] + "i"} if base.endswith("e") else {base}


FORMS: Mapping[str, Callable[[str], set[str]]] = {
    "de": _german, "es": _spanish, "fr": _french, "it": _italian,
}  # fmt: skip


def forms_of(base: str, language: str) -> set[str]:
    """The forms of an adjective or participle; of several words the first one changes.

    >>> sorted(forms_of("cubierto de", "es"))[:2]
    ['cubierta de', 'cubiertas de']
    """
    first, blank, rest = base.partition(" ")
    return {form + blank + rest for form in FORMS[language](first)}
