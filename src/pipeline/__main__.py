"""`python -m pipeline`: what there is to run, and the helpers around a study."""

from pipeline.commands import main

main()
