import type { CommandTree, CompletedOption } from './command-tree.ts'

export function fishScript(tree: CommandTree): string {
  const verbs = tree.commands.map((command) => command.name).join(' ')
  const noVerb = `-n 'not __fish_seen_subcommand_from ${verbs}'`
  const lines = [
    `# fish completion for ${tree.name}; made by "${tree.name} completion fish"`,
    `complete -c ${tree.name} -f`,
    ...tree.globalOptions.map((option) => `complete -c ${tree.name}${optionFlags(option)}`),
  ]
  for (const command of tree.commands) {
    const seen = `-n '__fish_seen_subcommand_from ${command.name}'`
    lines.push(`complete -c ${tree.name} ${noVerb} -a ${command.name} -d ${quoted(command.description)}`)
    if (command.choices.length > 0) lines.push(`complete -c ${tree.name} ${seen} -a ${quoted(command.choices.join(' '))}`)
    lines.push(...command.options.map((option) => `complete -c ${tree.name} ${seen}${optionFlags(option)}`))
  }
  return `${lines.join('\n')}\n`
}

function optionFlags(option: CompletedOption): string {
  const names = option.names.map((name) => (name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`)).join('')
  return `${names}${valueFlags(option)} -d ${quoted(option.description)}`
}

function valueFlags(option: CompletedOption): string {
  if (!option.takesValue) return ''
  if (option.choices.length > 0) return ` -x -a ${quoted(option.choices.join(' '))}`
  if (option.values === 'none') return ' -x'
  return option.values === 'file' ? ' -r -F' : " -x -a '(__fish_complete_directories)'"
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
