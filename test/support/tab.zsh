# What a line becomes by one press of the tab key, each in a fresh zsh on a terminal: zsh -f tab.zsh <how to begin> <line>...
zmodload zsh/zpty
begin=$1
shift
for line in "$@"; do
  out=$(mktemp)
  zpty shell "OUT=$out zsh -f -i"
  zpty -w shell "$begin"
  zpty -w shell 'tell() { print -r -- "$BUFFER" > $OUT; exit }; zle -N tell; bindkey "^X" tell'
  zpty -w -n shell "$line"$'\t\C-x'
  # To its end.
  zpty -r shell rest '*never printed*'
  print -r -- "$(<$out)"
  rm -f $out
  zpty -d shell
done
