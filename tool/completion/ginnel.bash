# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of ginnel for bash: subcommands, options and addresses, each asked of ginnel itself.

_ginnel() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} choices
    # Bash takes a colon for the end of a word; an address has one.
    local line=${COMP_LINE:0:COMP_POINT}
    local address=${line##*[[:space:]]}

    if ((COMP_CWORD == 1)); then
        choices="$(ginnel --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p') help"
    elif [[ $command == help ]]; then
        choices=$(ginnel --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
    elif [[ $word == -* ]]; then
        choices=$(ginnel "$command" --help 2>/dev/null | sed -n 's/^  \(--[a-z0-9.-]*\).*/\1/p')
    else
        choices=$(ginnel ls 2>/dev/null | awk 'NR > 1 { print $1 ":" $2 }')
        mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$address")
        if [[ $address == *:* && $COMP_WORDBREAKS == *:* ]]; then
            COMPREPLY=("${COMPREPLY[@]#"${address%:*}":}")
        fi
        ((${#COMPREPLY[@]} > 0)) || mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _ginnel ginnel
