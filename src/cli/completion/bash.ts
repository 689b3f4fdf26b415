import type { CommandTree, CompletedOption } from './command-tree.ts'

/** Works in bash 4 and later, with or without the bash-completion package. */
export function bashScript(tree: CommandTree): string {
  const func = functionName(tree.name)
  const every = [...tree.globalOptions, ...tree.commands.flatMap((command) => command.options)]
  const withValue = [...new Set(every.filter((option) => option.takesValue).flatMap((option) => option.names))]
  return `# bash completion for ${tree.name}; made by "${tree.name} completion bash"
${func}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" verb='' index words=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "\${COMP_WORDS[index]}" in
      ${withValue.join('|')}) ((index++)) ;;
      -*) ;;
      *) verb="\${COMP_WORDS[index]}"; break ;;
    esac
  done
  COMPREPLY=()
  case "$verb $previous" in
${tree.commands.map((command) => command.options.map((option) => valueCase(option, command.name)).join('')).join('')}${tree.globalOptions.map((option) => valueCase(option, '*')).join('')}  esac
  case "$verb" in
    '') words=${quoted([...tree.commands.map((command) => command.name), ...namesOf(tree.globalOptions)])} ;;
${tree.commands.map((command) => `    ${command.name}) words=${quoted([...command.choices, ...namesOf(command.options), ...namesOf(tree.globalOptions)])} ;;\n`).join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F ${func} ${tree.name}
`
}

function valueCase(option: CompletedOption, verb: string): string {
  if (!option.takesValue) return ''
  const patterns = option.names.map((name) => (verb === '*' ? `*" ${name}"` : `"${verb} ${name}"`)).join('|')
  const reply = option.choices.length > 0 ? `-W ${quoted(option.choices)}` : { file: '-f', directory: '-d', none: undefined }[option.values]
  return `    ${patterns}) ${reply === undefined ? '' : `COMPREPLY=($(compgen ${reply} -- "$current")); `}return ;;\n`
}

function namesOf(options: readonly CompletedOption[]): string[] {
  return [...new Set(options.flatMap((option) => option.names))]
}

function quoted(words: readonly string[]): string {
  return `'${words.join(' ').replaceAll("'", `'\\''`)}'`
}

export function functionName(name: string): string {
  return `_${name.replaceAll('-', '_')}`
}
