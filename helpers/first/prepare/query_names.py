"""Names of cars: makes and models that a query may wrongly speak of, and the usual short forms.

The models are those of Stanford Cars, of the drawn garage, and a few that are common besides.
"""

from helpers.world.garage import MAKES as GARAGE


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("|") if line.strip())


# make in plain form -> what people write instead
MAKE_ALIASES: dict[str, tuple[str, ...]] = {
    "chevrolet": ("chevy", "chevvy", "chev"),
    "volkswagen": ("vw", "volkswagon", "veedub"),
    "mercedes-benz": ("mercedes", "merc", "benz", "mb", "mercedez"),
    "bmw": ("bimmer", "beemer", "beamer"),
    "land rover": ("landrover", "landie", "lr"),
    "lamborghini": ("lambo",),
    "aston martin": ("aston",),
    "mitsubishi": ("mitsu",),
    "cadillac": ("caddy", "cadi"),
    "rolls-royce": ("rolls", "royce", "rr"),
    "jaguar": ("jag",),
    "toyota": ("yota",),
    "hyundai": ("hundai", "hyndai"),
    "porsche": ("porsh",),
    "bentley": ("bently",),
    "maserati": ("maser",),
    "ferrari": ("rari",),
    "plymouth": ("ply",),
}
_PICKUP = ("pickup", "pick-up", "truck", "pick up truck", "pickup truck")
BODY_ALIASES: dict[str, tuple[str, ...]] = {
    "convertible": ("conv", "convert", "cabrio", "cabriolet", "drop top", "droptop", "drop-top",
                    "ragtop", "rag top", "soft top", "soft-top"),
    "hatchback": ("hatch", "hb", "hatch back"),
    "sedan": ("sdn", "saloon"),
    "coupe": ("cpe",),
    "wagon": ("wgn", "estate", "station wagon"),
    "suv": ("sport utility vehicle", "sport utility", "suvs"),
    "minivan": ("mini van", "mini-van", "mpv", "van"),
    "van": ("mini bus",),
    "pickup": ("pick up", "truck", "ute", "pu"),
    "crew cab": ("crew", "cab", "cc", *_PICKUP),
    "extended cab": ("ext cab", "ext", "extcab", "cab", *_PICKUP),
    "regular cab": ("reg cab", "reg", "single cab", "cab", *_PICKUP),
    "quad cab": ("quad", "cab", *_PICKUP),
    "club cab": ("club", "cab", *_PICKUP),
    "supercab": ("super cab", "cab", *_PICKUP),
}  # fmt: skip
MAKES = (
    *_lines(
        """
        am general|acura|alfa romeo|alfa|aston martin|audi|bmw|bentley|bugatti|buick|byd|cadillac|
        chevrolet|chrysler|citroen|cupra|dacia|daewoo|daihatsu|datsun|dodge|eagle|fiat|ferrari|
        fisker|ford|gmc|genesis|geo|hummer|honda|hyundai|infiniti|isuzu|jaguar|jeep|kia|koenigsegg|
        lada|lamborghini|lancia|land rover|lexus|lincoln|lotus|lucid|mini|maserati|maybach|mazda|
        mclaren|mercedes-benz|mercedes|mercury|mitsubishi|nissan|oldsmobile|opel|pagani|peugeot|
        plymouth|polestar|pontiac|porsche|ram|renault|rivian|rolls-royce|saab|saturn|scion|seat|
        skoda|smart|spyker|subaru|suzuki|tata|tesla|toyota|vauxhall|volkswagen|volvo
        """
    ),
    *(name.lower() for name in GARAGE),
)
MODELS = (
    *_lines(
        """
        rl|tl|type s|type r|tsx|integra|zdx|v8 vantage|vantage|virage|db9|db11|rs 4|rs4|a3|a4|a5|a6|
        a8|q5|q7|tts|r8|tt|s4|s5|s6|active hybrid|activehybrid|1 series|2 series|3 series|4 series|
        5 series|6 series|7 series|8 series|x1|x3|x5|x6|m3|m4|m5|m6|z3|z4|continental|supersports|
        arnage|mulsanne|flying spur|bentayga|veyron|chiron|regal|rainier|verano|enclave|lacrosse|
        cts v|cts|srx|escalade|deville|silverado|corvette|zr1|z06|traverse|camaro|hhr|impala|tahoe|
        suburban|colorado|sonic|express cargo|avalanche|cobalt|malibu|trailblazer|monte carlo|
        equinox|aspen|sebring|town and country|300 srt 8|300c|srt 8|srt8|crossfire|
        pt cruiser|pacifica|nubira|caliber|caravan|ram pickup|ram 1500|sprinter|journey|dakota|
        magnum|challenger|durango|charger|viper|dart|avenger|talon|500 abarth|abarth|panda|ff|
        california|458 italia|458|italia|f430|enzo|testarossa|karma|f 450|f450|super duty|mustang|
        freestar|expedition|ranger|f 150|f150|f 250|f250|focus|e series|fiesta|fusion|
        taurus|explorer|escape|bronco|terrain|savana|yukon|acadia|canyon|metro|h1|h2|h3|h3t|hummer|
        odyssey|accord|civic|cr v|crv|pilot|ridgeline|fit|prelude|veloster|santa fe|tucson|
        veracruz|sonata|elantra|accent|genesis|azera|ioniq|g coupe|ipl|g35|g37|qx56|ascender|xkr|
        xk|xj|f type|e type|patriot|wrangler|liberty|grand cherokee|cherokee|compass|renegade|
        reventon|aventador|gallardo|superleggera|diablo|huracan|urus|murcielago|range rover|lr2|
        lr3|lr4|discovery|defender|evoque|freelander|town car|navigator|cooper|countryman|clubman|
        landaulet|tribute|miata|mx 5|cx 5|rx 7|rx 8|mazda3|mp4 12c|p1|720s|300 class|a class|
        b class|c class|e class|g class|s class|sl class|slk|cla|gla|lancer|eclipse|outlander|
        pajero|leaf|juke|altima|maxima|sentra|rogue|versa|murano|pathfinder|frontier|370z|350z|
        gt r|gtr|nv passenger|240sx|skyline|neon|prowler|barracuda|panamera|cayenne|cayman|boxster|
        911|carrera|taycan|macan|phantom|drophead|ghost|wraith|cullinan|xd|tc|c8|aerio|kizashi|sx4|
        swift|vitara|jimny|model s|model 3|model x|model y|roadster|cybertruck|sequoia|camry|
        corolla|4runner|prius|tacoma|tundra|rav4|supra|highlander|sienna|yaris|avalon|land cruiser|
        golf|beetle|jetta|passat|polo|tiguan|touareg|c30|240|xc90|xc60|s60|v70|v60|fortwo|forester|
        outback|impreza|wrx|legacy|firebird|gto|trans am|grand prix|grand am|cutlass|sable|
        sierra|edge|neon|kite|heron|lido
        """
    ),
    *(model.lower() for _, _, models in GARAGE.values() for model in models),
)
# Bodies as anybody may call them; the longest first where one holds another.
BODIES = (
    *_lines(
        """
        sedan|saloon|coupe|convertible|cabriolet|cabrio|conv|roadster|spider|spyder|hatchback|hatch|
        hatch back|wagon|station wagon|estate|shooting brake|suv|sport utility vehicle|
        sport utility|crossover|minivan|mini van|mpv|van|cargo van|panel van|camper|campervan|
        motorhome|bus|pickup|pick up|pickup truck|truck|lorry|ute|crew cab|extended cab|ext cab|
        regular cab|quad cab|club cab|supercab|super cab|double cab|single cab|limousine|limo|
        fastback|liftback|notchback|targa|t top|hardtop|soft top|softtop|ragtop|droptop|drop top|
        sdn|cpe|wgn|motorcycle|motorbike|bike|tractor|buggy|microcar|jeepney|cab|hearse|kombi|
        two door|2 door|three door|3 door|four door|4 door|five door|5 door|2dr|3dr|4dr|5dr|
        open top|sportback|gran coupe|compact|subcompact
        """
    ),
)
