"""What the commands of ``plan`` found, as pages (``core.pages``): one file for each command."""
