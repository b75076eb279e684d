"""What dataset families share: label tables, trees of files, and the rules that no family may relax in silence."""
