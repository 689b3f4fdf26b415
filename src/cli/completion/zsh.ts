import { functionName } from './bash.ts'
import type { CommandTree, CompletedCommand, CompletedOption } from './command-tree.ts'

/** For a directory of $fpath, or to be sourced after compinit. */
export function zshScript(tree: CommandTree): string {
  const func = functionName(tree.name)
  const globals = tree.globalOptions.flatMap(specs)
  return `#compdef ${tree.name}
# zsh completion for ${tree.name}; made by "${tree.name} completion zsh"
${func}() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
${tree.commands.map((command) => `    ${quoted(`${command.name}:${command.description}`)}`).join('\n')}
  )
  _arguments -C \\
${globals.map((spec) => `    ${spec} \\`).join('\n')}
    '1: :->verb' '*:: :->rest'
  case $state in
    verb) _describe -t commands command commands ;;
    rest)
      case $words[1] in
${tree.commands.map((command) => commandCase(command, globals)).join('\n')}
      esac ;;
  esac
}
if [ "$funcstack[1]" = ${func} ]; then ${func} "$@"; else compdef ${func} ${tree.name}; fi
`
}

function commandCase(command: CompletedCommand, globals: readonly string[]): string {
  const rest = command.choices.length > 0 ? [quoted(`1: :(${command.choices.join(' ')})`)] : []
  return `        ${command.name}) _arguments ${[...command.options.flatMap(specs), ...globals, ...rest].join(' ')} ;;`
}

/** One spec for each spelling: `'--head[what it does]:head:(auto always never)'`. */
function specs(option: CompletedOption): string[] {
  const description = option.description.replace(/[[\]\\]/g, (character) => `\\${character}`).replaceAll(':', '\\:')
  const action = option.choices.length > 0 ? `(${option.choices.join(' ')})` : { file: '_files', directory: '_files -/', none: ' ' }[option.values]
  return option.names.map((name) => quoted(`*${name}[${description}]${option.takesValue ? `:value:${action}` : ''}`))
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
