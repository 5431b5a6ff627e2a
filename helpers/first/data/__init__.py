"""From a source of recipes and images to pairs: records, safe image reading, splits."""
