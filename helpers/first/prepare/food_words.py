"""The words that the text rules know: what may be exchanged, and what must stay as it is.

A pair is in ``SYNONYMS`` only if a cook would let either word stand for the other in a title, in
both directions. ``LEFT_OUT`` names tempting pairs that fail that test, and why.
"""


def word_set(text: str) -> frozenset[str]:
    """The words of a text in spaces and lines: a table that reads like one."""
    return frozenset(text.split())


SYNONYMS: tuple[tuple[str, str], ...] = (
    # one thing under two names
    ("shrimp", "prawns"),
    ("tofu", "bean curd"),
    ("eggplant", "aubergine"),
    ("eggplants", "aubergines"),
    ("zucchini", "courgette"),
    ("zucchinis", "courgettes"),
    ("chickpea", "garbanzo bean"),
    ("chickpeas", "garbanzo beans"),
    ("beet", "beetroot"),
    ("beets", "beetroots"),
    ("scallion", "spring onion"),
    ("scallions", "spring onions"),
    ("fava beans", "broad beans"),
    ("snow peas", "mangetout"),
    ("ground beef", "minced beef"),
    ("ground pork", "minced pork"),
    ("ground lamb", "minced lamb"),
    ("whole wheat", "wholemeal"),
    ("all-purpose flour", "plain flour"),
    ("powdered sugar", "icing sugar"),
    ("baking soda", "bicarbonate of soda"),
    # one word in two spellings
    ("yogurt", "yoghurt"),
    ("donut", "doughnut"),
    ("donuts", "doughnuts"),
    ("soy sauce", "soya sauce"),
    ("ketchup", "catsup"),
    ("omelet", "omelette"),
    ("photo", "photograph"),
    # ways to say how it is made and served
    ("grated cheese", "shredded cheese"),
    ("lemon slices", "sliced lemon"),
    ("mashed potatoes", "potato mash"),
    ("covered in", "covered with"),
    ("garnished with", "with a garnish of"),
    ("round plate", "circular plate"),
    ("round dish", "circular dish"),
    ("wooden table", "wood table"),
    ("marble counter", "marble countertop"),
    ("steel worktop", "steel countertop"),
    ("checkered cloth", "checked cloth"),
    ("tasty", "delicious"),
)

LEFT_OUT: dict[tuple[str, str], str] = {
    ("soup", "broth"): "a broth is clear; most soups are not",
    ("curry", "masala"): "masala is a spice mix, and many curries have none",
    ("noodles", "pasta"): "ramen is no pasta",
    ("beef", "steak"): "goulash is beef and no steak",
    ("chicken", "poultry"): "poultry may be duck",
    ("salmon", "fish"): "only one direction holds",
    ("pizza", "flatbread"): "only one direction holds",
    ("burger", "sandwich"): "only one direction holds",
    ("pie", "tart"): "a pie may have a lid, a tart has none",
    ("pancakes", "hotcakes"): "a thin Danish or French pancake is no hotcake",
    ("skewers", "kebabs"): "skewers are also the sticks, and a doner kebab has none",
    ("cilantro", "coriander"): "coriander seed is another spice",
    ("arugula", "rocket"): "rocket has other meanings for a model that saw the web",
    ("cookies", "biscuits"): "an American biscuit is a soft bun",
    ("fries", "chips"): "chips are crisps in half of the world",
    ("cornstarch", "cornflour"): "American corn flour is ground whole corn",
    ("heavy cream", "double cream"): "36 and 48 percent fat",
    ("scallions", "green onions"): "brings a color word that the caption did not have",
    ("olives", "black olives"): "adds a color",
    ("tomato sauce", "red sauce"): "exchanges an ingredient for a color",
    ("spicy", "hot"): "hot is also a temperature",
    ("round", "circular"): "a round squash is a ball; only of plates and dishes",
    ("oval", "oblong"): "a rectangle is oblong",
    ("tomato", "tomatoes"): "one tomato in the picture is not many",
    ("rutabaga", "swede"): "Swede is a person elsewhere",
}

COLORS = word_set(
    """
    white blue red green black yellow brown pink orange purple gray grey beige golden gold
    silver violet turquoise crimson scarlet ivory cream-colored
    """
)
NEGATIONS = word_set("no not without non never neither nor minus free less zero hold")

# What may stand before a dish and be moved behind it with "with".
INGREDIENTS = word_set(
    """
    chicken beef pork lamb turkey duck bacon ham sausage shrimp prawn prawns salmon tuna crab
    cod fish egg eggs tofu mushroom mushrooms tomato tomatoes potato potatoes carrot carrots
    basil parsley spinach broccoli cauliflower cabbage kale leek zucchini courgette eggplant
    aubergine pumpkin squash pea peas bean beans lentil lentils chickpea chickpeas corn avocado
    cucumber beet beetroot onion onions garlic olive olives cheese feta mozzarella parmesan
    yogurt yoghurt banana apple apples blueberry blueberries strawberry strawberries raspberry
    raspberries cherry cherries lemon lime orange mango peach pear pineapple coconut chocolate
    cinnamon walnut walnuts almond almonds hazelnut peanut pecan oatmeal honey pesto chili
    sesame rosemary thyme oregano mint ginger
    """
) | {"red onion", "bean curd", "spring onion", "spring onions"}  # fmt: skip

# Before a dish English takes the singular: prawns, but prawn curry.
SINGULAR: dict[str, str] = {
    plural: single
    for single in INGREDIENTS
    for plural in (f"{single}s", f"{single}es", f"{single[:-1]}ies")
    if plural in INGREDIENTS
}

# Dishes that take "with"; "sauce" is none of them, since soy sauce is no sauce with soy.
DISHES = word_set(
    """
    soup curry masala noodles pasta salad pizza flatbread burger sandwich pancakes hotcakes
    pancake waffles taco tacos tortillas pie tart sushi skewers kebabs kebab stew risotto
    casserole gratin omelette omelet frittata quiche lasagna muffins muffin cake cupcakes
    brownies cookies scones crumble pudding smoothie wrap wraps quesadilla quesadillas
    enchiladas burrito burritos dumplings ravioli gnocchi traybake wok goulash
    """
) | {"french toast", "rice bowl", "fried rice", "leafy greens", "maki rolls"}  # fmt: skip

# Takes no noun before it: "leafy greens with egg", not "egg leafy greens".
ALWAYS_WITH = "leafy greens"

# Names of their own: taken apart they name something else.
FIXED_NAMES = frozenset(
    {
        "egg noodles", "egg pasta", "corn tortillas", "potato pancakes", "potato dumplings",
        "simple syrup", "pumpkin pie", "carrot cake", "fish cake", "cherry tomato salad",
    }
)  # fmt: skip

# A dish that has one of these gets no prefix.
PRAISE = word_set(
    "homemade classic fresh easy simple basic traditional delicious authentic best perfect creamy"
)
# A prefix or suffix that would contradict what is already said.
CONTRADICTS: dict[str, frozenset[str]] = {
    "homemade": word_set(
        """
    store-bought shop-bought bought instant canned tinned frozen packaged takeaway takeout
    restaurant deli
    """
    ),
    "classic": word_set(
        """
    modern new novel fusion twist keto vegan vegetarian paleo alternative mock fake diet
    low-carb unusual lenten
    """
    ),
    "easy": word_set("difficult hard advanced challenging elaborate easy simple"),
}

# What a photo's caption may begin with before it names the dish.
OPENING = r"(?:an?\s+|the\s+)?(?:close-?up\s+)?(?:photo|photograph|picture|image)\s+of\s+"
# Words that begin a sentence rather than a title.
SENTENCE_STARTS = word_set(
    """
    this these that those it its it's i i've i'm we you your my our here if when there how what
    why who he she they serve made not no never without every some one
    """
)
SMALL_WORDS = word_set(
    """
    a an and the with of in on or for to from by at over al alla alle all' de del della di du la
    le les w/ w/o und et à au aux en
    """
)
HARMLESS = word_set(
    """
    easy simple quick best ever recipe recipes my our favorite favourite famous updated version
    video step by from scratch the a an and with step-by-step ultimate printable see note notes
    below
    """
)
UNITS = (
    r"(?:k?g|mg|m[lL]|[lL]|dl|cl|oz|ounces?|lbs?|pounds?|cups?|tsps?|tbsps?|teaspoons?|tablespoons?|"
    r"inch(?:es)?|cm|mm|minutes?|mins?|hours?|hrs?|h|%|°\s?[CF]?|degrees?|servings?|people|kcal|"
    r"calories|ingredients?)"
)
