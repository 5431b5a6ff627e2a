"""Words that a query about a car may not add, by reason, and words that add nothing.

The lists are of the language, not of any labeled set: a writer can invent more than they hold,
which is what the judge is for. Where a word is part of the car's own name, the name wins.
"""

from helpers.first.prepare.query_names import BODIES, MAKES, MODELS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


COLORS = _set(
    """
    color colors colour colours colored coloured colorful two-tone twotone monochrome pastel red
    reds reddish blue blues bluish green greens greenish yellow yellowish orange purple violet pink
    brown brownish black blacks blackish white whites whitish gray grey grays greys greyish silver
    silvery gold golden bronze copper brass beige tan cream ivory pearl pearly pearlescent champagne
    burgundy maroon crimson scarlet vermilion ruby cherry wine magenta fuchsia rose salmon coral
    peach apricot amber mustard lemon lime olive emerald jade mint teal turquoise aqua cyan navy
    azure cobalt indigo sapphire cerulean lavender lilac plum mauve aubergine charcoal graphite
    gunmetal anthracite slate ash steel titanium platinum chrome onyx ebony jet khaki sand taupe
    mocha chocolate coffee caramel cinnamon rust rusty-red tangerine metallic matte glossy shiny
    candy flake fluorescent iridescent chameleon camouflage camo paint painted paintwork paintjob
    repainted hue shade tint tone dark darker light lighter bright pale vivid midnight
    """
)
PLACES = _set(
    """
    beach beaches coast coastal shore seaside sea ocean lake river waterfall harbor harbour marina
    dock pier island mountain mountains hill hills hillside valley cliff desert dune dunes forest
    forests woods jungle field fields meadow farm farmland vineyard countryside landscape scenery
    scenic sunset sunrise dusk dawn dark night nighttime daytime daylight sunlight sunshine sunny
    sky skies cloud clouds cloudy rain rainy raining storm snow snowy snowing ice icy fog foggy mist
    misty wet mud muddy dirt gravel grass lawn road roads roadside street streets alley highway
    freeway motorway avenue boulevard lane track racetrack circuit raceway racing curve tunnel
    bridge parking parked parks garage driveway carport showroom dealership dealer auction
    museum exhibition exhibit expo fair festival rally pitlane paddock stadium airport hangar runway
    station gas-station petrol city cityscape downtown urban suburb suburban suburbs town village
    skyline skyscraper skyscrapers building buildings brick wall walls house houses home mansion
    cottage church castle hotel restaurant cafe diner shop store mall supermarket market factory
    warehouse workshop office school yard backyard garden park plaza square fence gate trees tree
    palm palms flowers bush background backdrop backdrops foreground surroundings scene setting
    outdoors outdoor indoors indoor outside inside studio winter summer autumn fall spring christmas
    evening morning noon afternoon table tables wooden marble carpet rug floor pavement concrete
    asphalt cobblestone cobblestones sidewalk curb crowd crowds people pedestrians crossing
    intersection traffic canyon california barn junkyard scrapyard campsite campground camping trail
    offroad off-roading paris london tokyo york vegas miami hollywood texas italy germany japan
    europe lights shadow shadows lit reflection reflections puddle puddles beside behind near above
    under underneath below standing sitting stopped drifting speeding cruising jumping towing
    crashing climbing alongside opposite against amid among atop along beneath surrounded
    overlooking carwash wash wedding picnic waterfront riverside lakeside roadway crosswalk tarmac
    bay gulf temple monument statue stairs balcony balloon balloons
    """
)
PARTS = _set(
    """
    spoiler spoilers wing wings splitter diffuser skirt skirts bodykit kit kits widebody wide-body
    lowered slammed lifted raised bagged stanced stance suspension coilover coilovers airbags lift
    rim rims alloy alloys wheel wheels hubcap hubcaps tire tires tyre tyres whitewall whitewalls
    spacers tinted tints window windows windshield windscreen glass rack racks roofrack roofbox
    carrier box cargo-box snorkel winch bullbar bumper bumpers hood bonnet scoop scoops vent vents
    grille grill headlight headlights headlamp headlamps taillight taillights lamp lamps led leds
    xenon halogen foglights underglow neons exhaust exhausts muffler tailpipe tailpipes pipes stripe
    stripes striped decal decals sticker stickers vinyl wrap wrapped livery graphics flames
    pinstripe badge badges emblem logo logos plate plates license number-plate antenna fender
    fenders flares flared flare mirror mirrors door doors scissor gullwing trunk boot tailgate bed
    bedliner tonneau canopy camper topper hitch towbar trailer canoe kayak bike bikes surfboard skis
    ladder toolbox lightbar lightbars rollcage cage harness custom customized customised
    custom-built modified modded mod mods tuned tuner tuning aftermarket upgraded upgrade upgrades
    accessories accessory restomod hydraulics nitrous nos carbon fiber fibre chromed blacked
    blacked-out murdered-out brembo brakes brake calipers rotors drilled slotted visor deflector
    deflectors mudflaps mudguards sidesteps steps running-boards nerf
    """
)
DETAILS = _set(
    """
    engine engines motor cylinder cylinders horsepower hp bhp kw torque liter litre liters litres cc
    turbo turbocharged twin-turbo biturbo supercharged supercharger hybrid electric ev diesel petrol
    gasoline gas hemi v4 v6 v8 v10 v12 w12 w16 inline flat-six boxer rotary fuel mpg economy
    consumption range battery charging transmission manual automatic stick gearbox gear gears speed
    speeds cvt dsg paddle awd 4wd fwd rwd 4x4 4matic quattro xdrive drivetrain 4-wheel four-wheel
    all-wheel leather seat seats seating seater interior upholstery cabin dashboard dash steering
    stereo speakers radio bluetooth navigation nav gps touchscreen screen camera cruise-control
    heated cooled ventilated sunroof moonroof panoramic airbag price prices priced pricing cost
    costs costing cheap cheapest expensive affordable budget dollar dollars usd eur euro euros pound
    pounds grand bucks msrp value worth discount deal lease leasing finance financing warranty
    mileage miles mile km kilometers kilometres odometer mph kmh kph owner owners salvage vin
    accident accidents damaged damage dented dent dents scratched scratch scratches rust rusty
    rusted dirty clean cleaned mint pristine immaculate restored restoration unrestored condition
    brand-new old vintage classic antique retro modern futuristic rare limited edition special
    luxury luxurious premium fast faster fastest quick slow powerful power performance sporty sport
    sports muscle exotic supercar hypercar family compact big bigger large small smaller huge tiny
    heavy lightweight safe safety reliable reliability comfortable spacious roomy trim package lx ex
    dx le se sle slt ltz xlt lariat amg gt gts ss rs st sti wrx type-r nismo srt sr5 trd denali
    german japanese american italian british swedish korean french european domestic foreign import
    imported four-cylinder six-cylinder eight-cylinder original taxi police ambulance rental patrol
    racecar race winner winning award champion passengers driver dog dogs woman man celebrity movie
    film famous wrecked crashed totaled totalled burning fire smoke smoking burned burnt abandoned
    project-car
    """
)
CONTRADICTION = _set(
    """
    not no never without except besides excluding minus isn't wasn't aren't doesn't don't didn't
    rather instead unlike neither nor anything-but non versus vs compared than
    """
)
# Words that ask, point or join, and say nothing of the car.
NEUTRAL = _set(
    """
    a an the this that these those it its it's that's there here what what's which who whose where
    when why how is are was were be been being am i'm i've i'd i'll im ive id do does did done has
    have had having can could would will should may might shall i me my mine we us our ours you your
    he she his her hers him they them their and or of for from with in on at by to as like into onto
    off about around over after before since until between through per via so if then but also too
    just only even still very really quite pretty maybe perhaps probably any some all every each
    both either one ones another other same such more most few many much again once ever yet now
    today yesterday tomorrow lately recently please pls plz thanks thank hi hello hey ok okay yes
    look looks looking looked likes liked want wants wanted wanna need needs needed wish searching
    search seeking seek find finding found spot spotted show shows showing shown see seeing seen saw
    view views viewing get getting got give gimme buy buying bought purchase sell selling sold sale
    own owns owned interested interest hunting hunt browse browsing shopping check checking help
    know think thinking remember believe guess wonder wondering trying try dream dreaming love loved
    loves prefer preferred preferably favorite favourite consider considering choose pick bring pull
    fetch display compare tell say says said called named name names known make makes made maker
    model models year years yr version variant generation gen style styled body bodied type kind
    sort class series line picture pictures pic pics photo photos photograph photographs photography
    image images img imgs shot shots snapshot snap wallpaper illustration drawing drawn poster
    gallery catalog catalogue collection listing listings ad ads example examples sample samples
    info reference references results result match matches matching similar exact exactly car cars
    auto autos automobile automobiles vehicle vehicles ride rides used new secondhand preowned
    available availability anywhere somewhere anyone anybody someone somebody everyone people's
    friend friends dad dad's mom mom's mum mum's father father's mother mother's brother brother's
    sister sister's uncle uncle's aunt aunt's grandpa grandpa's grandma grandma's neighbor
    neighbor's neighbour neighbour's cousin cousin's wife wife's husband husband's boss boss's son
    son's daughter daughter's parents parents' kid kids roommate colleague coworker girlfriend
    boyfriend ex's nice cool good great awesome best beautiful gorgeous lovely sweet stunning
    amazing decent proper real genuine full whole complete front rear side back left right angle
    angles profile three quarter closeup close up first last next early late drive driving drives
    drove driven lot mid built build manufactured produced production released launched registered
    dated circa ca era decade use using work works something anything thing things stuff way time
    times long ago hows where's who's let's lets let go going went come coming came take taking took
    put keep kept start identify identified recognize recognise spec specs out down it'll they're
    there's gotta lemme thx ty asap guys folks everybody y'all stock two couple dozen press official
    correct project presentation homework magazine brochure chasing needing would've owner's
    anything's wanting gonna tho cuz brand bit kinda sorta tracking sight hoping hope curious idea
    ideas question possible possibly able different kinds sorts versions rent rented renting week
    weeks month months day days weekend ages age identifying recognizing wrong mistaken whatever
    filter miss missed hear heard read meet met talk talking ask asked asking mean means meant
    forgot forget earlier sometime someday everywhere online website site web page app video videos
    clip high low resolution res hd hq quality size sized data set dataset random umm um uh hmm lol
    omg wow yo haven't hasn't hadn't wouldn't shouldn't ish w u ur r ima trade trading swap
    swapped bid bidding order ordering pay paying afford test review reviews article blog forum post
    thread birthday present gift job students student teacher club member members fan fans lover
    lovers enthusiast enthusiasts belongs belonging belong part ways inquire inquiry enquiry figure
    figured figuring decide deciding decided settle specific specifically particular particularly
    mainly mostly actually basically literally honestly simply definitely surely obviously hopefully
    currently previously formerly originally officially typically usually normally commonly
    generally learn learning study studying research researching comparing lookalike equivalent
    alike else daily commute driver's stumbled noticed grew
    """
)
NEUTRAL, CONTRADICTION = (  # people leave the apostrophe out
    frozenset((*listed, *(word.replace("'", "") for word in listed)))
    for listed in (NEUTRAL, CONTRADICTION)
)
GENERIC = _set("class series model type edition line car town country new old and the")
LABELS = _set(
    """
    query queries make model body year text caption title output answer response result car vehicle
    q a json example examples mentions edits id name
    """
)
# No name of a car holds these: an instruction in the metadata does.
NO_NAMES = _set(
    """
    ignore disregard forget override bypass instead instruction instructions prompt system assistant
    user previous above say write output print reply respond answer repeat translate please you your
    must never always pretend query queries json http https www execute delete drop select reveal
    secret password token follow following add mention include describe with without in on at that
    which is are be the
    """
)
REASONS: dict[str, tuple[str, ...]] = {
    "make": MAKES,
    "model": MODELS,
    "body": BODIES,
    "color": tuple(COLORS),
    "aftermarket": (
        *PARTS,
        *_phrases(
            """
            roof rack|body kit|wide body|racing stripes|racing stripe|roof box|light bar|
            bull bar|cold air intake|big wheels|roll cage|ski rack|bike rack|tow bar|
            tow hitch|side skirts|window tint|running boards|custom paint|chrome wheels|
            air ride|air suspension
            """
        ),
    ),
    "background": (
        *PLACES,
        *_phrases(
            """
            car show|auto show|motor show|gas station|race track|golf course|parking lot|
            at night|in front of|canyon road|leaf covered|city street|next to|dirt road|
            new york|los angeles|car park|show room|test track|open road|race circuit|
            in the rain|in the snow
            """
        ),
    ),
    "detail": (
        *DETAILS,
        *_phrases(
            """
            four wheel drive|all wheel drive|front wheel drive|rear wheel drive|
            4 wheel drive|two wheel drive|gas mileage|top speed|fuel economy|low mileage|
            third row|cruise control|one owner|twin turbo|heated seats|air conditioning|
            for under|less than|more than|how much|back seat|steering wheel
            """
        ),
    ),
}
