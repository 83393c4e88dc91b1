"""Running notebooks with checked parameters, caching what has not changed, and building the site."""
