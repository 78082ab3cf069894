// `gingham completion bash|zsh|fish`: a script for the shell, made from the commands themselves.
//
// The words are in the script: nothing is run while somebody presses Tab.

import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Word {
  readonly name: string;
  readonly help: string;
  readonly flags: readonly { readonly name: string; readonly help: string }[];
  /** Words that may follow: subcommands, or the choices of the first argument. */
  readonly next: readonly string[];
}

/** The script that completes `program`'s commands and flags in `shell`. */
export function completionScript(program: Command, shell: Shell): string {
  const words = program.commands.map(wordOf);
  if (shell === 'bash') return bash(program.name(), words);
  return shell === 'zsh' ? zsh(program.name(), words) : fish(program.name(), words);
}

function wordOf(command: Command): Word {
  const [argument] = command.registeredArguments;
  return {
    name: command.name(),
    help: firstWords(command.description()),
    flags: command.options.map(({ long, flags, description }) => ({
      name: long ?? flags,
      help: firstWords(description),
    })),
    next: [...command.commands.map((below) => below.name()), ...(argument?.argChoices ?? [])],
  };
}

function firstWords(text: string): string {
  return (text.split(/[;:(]/)[0] ?? '').trim().replaceAll("'", '').replaceAll('"', '');
}

function bash(name: string, words: readonly Word[]): string {
  const cases = words.map((word) => {
    const all = [...word.next, ...word.flags.map((flag) => flag.name)].join(' ');
    return `    ${word.name}) words='${all}' ;;`;
  });
  return `# bash completion of ${name}: ${name} completion bash > /etc/bash_completion.d/${name}
_${name}() {
  local words='${words.map((word) => word.name).join(' ')}'
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words='' ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}
`;
}

function zsh(name: string, words: readonly Word[]): string {
  const commands = words.map((word) => `    '${word.name}:${word.help}'`);
  const cases = words.map((word) => {
    const all = [...word.next, ...word.flags.map((flag) => flag.name)].map((text) => `'${text}'`).join(' ');
    return `    ${word.name}) compadd -- ${all} ;;`;
  });
  return `#compdef ${name}
# zsh completion of ${name}: ${name} completion zsh > "\${fpath[1]}/_${name}"
_${name}() {
  local -a commands
  commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case "$words[2]" in
${cases.join('\n')}
  esac
}
compdef _${name} ${name}
`;
}

function fish(name: string, words: readonly Word[]): string {
  const lines = words.flatMap((word) => [
    `complete -c ${name} -n __fish_use_subcommand -a ${word.name} -d '${word.help}'`,
    ...word.next.map((next) => `complete -c ${name} -n '__fish_seen_subcommand_from ${word.name}' -a ${next}`),
    ...word.flags.map(
      (flag) =>
        `complete -c ${name} -n '__fish_seen_subcommand_from ${word.name}' -l ${flag.name.replace(/^--/, '')} -d '${flag.help}'`,
    ),
  ]);
  return `# fish completion of ${name}: ${name} completion fish > ~/.config/fish/completions/${name}.fish
complete -c ${name} -f
${lines.join('\n')}
`;
}
