using System.CommandLine;

namespace Overlay.Cli.Shell;

/// <summary><c>overlay completion</c>: what a shell runs to complete words, by the commands themselves.</summary>
internal static class CompletionCommand
{
    // The program itself tells what may stand at the cursor: the directive [suggest:POSITION] of System.CommandLine.
    private const string Bash = """
        # bash completion for overlay; load it with: source <(overlay completion bash)
        _overlay()
        {
            local IFS=$'\n'
            local word="${COMP_WORDS[COMP_CWORD]}"
            COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "$word"))
        }
        complete -o default -o nosort -F _overlay overlay

        """;

    private const string Zsh = """
        #compdef overlay
        # zsh completion for overlay; load it with: source <(overlay completion zsh)
        _overlay()
        {
            local -a found
            found=("${(@f)$("${words[1]}" "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}")
            if (( ${#found[@]} && ${#found[1]} )); then
                compadd -- "${found[@]}"
            else
                _files
            fi
        }
        compdef _overlay overlay

        """;

    public static Command Create(TextWriter output) => new("completion", "Print a script that completes overlay's commands and options in a shell.")
    {
        Of("bash", "Print the script for bash: source <(overlay completion bash)", Bash, output),
        Of("zsh", "Print the script for zsh: source <(overlay completion zsh)", Zsh, output),
    };

    private static Command Of(string shell, string description, string script, TextWriter output)
    {
        var command = new Command(shell, description);
        command.SetAction(_ => output.Write(script.ReplaceLineEndings("\n")));
        return command;
    }
}
