#!/bin/sh
# SSH_ASKPASS of the SSH step: answers ssh's question for a password from the file the plan names, so that the secret
# is in no argument, environment or log. $1 is the question. Only the node's own question is answered: a jump host
# inherits this helper, and must not be told the node's password.
case $1 in
  *"$KK_SSH_LOGIN"*) ;;
  *@* | *passphrase* | *yes/no*) exit 1 ;;
  *) [ -z "$KK_SSH_JUMP" ] || exit 1 ;;
esac
head -n 1 "$KK_SSH_PASSWORD_FILE"
