# bash completion for prom-dr; made by "prom-dr completion bash"
_prom_dr() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" verb='' index words=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "${COMP_WORDS[index]}" in
      -c|--config|--log-level|-o|--output|--head|-r|--repository|-i|--instance|--diff|--cat|--read-data-subset|--at|-t|--target|--only|--generation|--components-target|--part|--owner|--retention|--disaster-at|--keep-last|--keep-hourly|--keep-daily|--keep-weekly|--keep-monthly|--keep-yearly|--until|--reason) ((index++)) ;;
      -*) ;;
      *) verb="${COMP_WORDS[index]}"; break ;;
    esac
  done
  COMPREPLY=()
  case "$verb $previous" in
    "init -o"|"init --output") COMPREPLY=($(compgen -f -- "$current")); return ;;
    "backup --head") COMPREPLY=($(compgen -W 'auto always never' -- "$current")); return ;;
    "backup -r"|"backup --repository") return ;;
    "archive -r"|"archive --repository") return ;;
    "ship -r"|"ship --repository") return ;;
    "status -i"|"status --instance") return ;;
    "status -r"|"status --repository") return ;;
    "list -i"|"list --instance") return ;;
    "list -r"|"list --repository") return ;;
    "show -i"|"show --instance") return ;;
    "show -r"|"show --repository") return ;;
    "show --diff") return ;;
    "show --cat") return ;;
    "verify --read-data-subset") return ;;
    "verify -i"|"verify --instance") return ;;
    "verify -r"|"verify --repository") return ;;
    "restore --at") return ;;
    "restore -t"|"restore --target") COMPREPLY=($(compgen -d -- "$current")); return ;;
    "restore --only") return ;;
    "restore -i"|"restore --instance") return ;;
    "restore -r"|"restore --repository") return ;;
    "restore --generation") return ;;
    "restore --components-target") COMPREPLY=($(compgen -d -- "$current")); return ;;
    "restore --part") return ;;
    "restore --owner") return ;;
    "restore --retention") return ;;
    "restore --disaster-at") return ;;
    "expire -i"|"expire --instance") return ;;
    "expire -r"|"expire --repository") return ;;
    "expire --keep-last") return ;;
    "expire --keep-hourly") return ;;
    "expire --keep-daily") return ;;
    "expire --keep-weekly") return ;;
    "expire --keep-monthly") return ;;
    "expire --keep-yearly") return ;;
    "hold --until") return ;;
    "hold --reason") return ;;
    "hold -i"|"hold --instance") return ;;
    "hold -r"|"hold --repository") return ;;
    "repository -r"|"repository --repository") return ;;
    *" -c"|*" --config") COMPREPLY=($(compgen -f -- "$current")); return ;;
    *" --log-level") COMPREPLY=($(compgen -W 'fatal error warn info debug trace silent' -- "$current")); return ;;
  esac
  case "$verb" in
    '') words='init doctor backup archive ship status list show verify restore expire hold repository completion help -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    init) words='-o --output --stdout -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    doctor) words='-c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    backup) words='--head --adopt -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    archive) words='--adopt -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    ship) words='--once --adopt --new-generation -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    status) words='-i --instance -r --repository --cost -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    list) words='-i --instance -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    show) words='-i --instance -r --repository --files --diff --cat -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    verify) words='--read-data --read-data-subset --start-server -i --instance -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    restore) words='--at -t --target --only --all -i --instance -r --repository -n --dry-run --replace --nearest --generation --include-deletes --later-blocks --components-target --force --part --start --owner --retention --side-instance --disaster-at -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    expire) words='--apply -i --instance --all-instances -r --repository --keep-last --keep-hourly --keep-daily --keep-weekly --keep-monthly --keep-yearly -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    hold) words='--until --reason --release -i --instance -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    repository) words='re-encrypt -r --repository -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    completion) words='bash zsh fish -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
    help) words='init doctor backup archive ship status list show verify restore expire hold repository completion help -c --config --json -q --quiet --log-level --no-color -V --version -h --help' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _prom_dr prom-dr
