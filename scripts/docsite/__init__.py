"""The documentation site: the pages of docs/, what is generated from the code, and the settings of the generator.

`./scripts/docs` assembles the source in build/docs/src and builds the site in build/docs/site. A page says where a
generated table goes by `<!-- generated: errors -->`; links to files of the repository lead to copies of them.
"""
