"""The catalogue as a web site: pages, a feed and JSON, from cards and recorded results alone."""
