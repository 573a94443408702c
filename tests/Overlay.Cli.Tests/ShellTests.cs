using System.CommandLine;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Rpc;
using Overlay.Testing;

namespace Overlay.Cli.Tests;

/// <summary>Completion, manual page and refusals of the built program.</summary>
public sealed class ShellTests
{
    [Theory]
    [InlineData("overlay rou", "route routes")]
    [InlineData("overlay route ", "get")]
    [InlineData("overlay explain --ec", "--ecn")]
    [InlineData("overlay completion ", "bash zsh")]
    public void Completion_InBash_OffersWhatMayStandThere(string line, string offered)
    {
        ProgramRun run = CompleteInBash(line);

        Assert.Equal("", run.Errors);
        Assert.Equal(offered, string.Join(' ', run.Lines[0].Split(' ').Where(word => !word.StartsWith("-?", StringComparison.Ordinal) && word is not ("-h" or "--help" or "/?" or "/h")).Order(StringComparer.Ordinal)));
        Assert.Contains("-F _overlay overlay", run.Lines[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("capture --socket SOCKET --peer ", "node-b")]
    [InlineData("capture --socket SOCKET --segment po", "pods")]
    [InlineData("explain --socket SOCKET --to 10.244.2.2 --at no", "node-b")]
    [InlineData("fdb --socket SOCKET --segment ", "lab pods")]
    public async Task Completion_OfANameThatTheDaemonKnows_OffersIt(string line, string offered)
    {
        string folder = Directory.CreateTempSubdirectory("overlay-").FullName;
        string socket = Path.Combine(folder, "overlayd.sock");
        try
        {
            Task answer = OneAnswer.ServeAsync(socket, "200 OK", JsonSerializer.Serialize(SampleStatus.Create(), StatusJson.Default.StatusDocument), LocalApi.StatusPath);

            ProgramRun run = await Task.Factory.StartNew(
                () => CompleteInBash($"overlay {line.Replace("SOCKET", socket, StringComparison.Ordinal)}"), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

            Assert.Equal(("", offered), (run.Errors, run.Lines[0]));
            await answer;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Completion_OfANameWithoutADaemon_OffersNothing()
    {
        ProgramRun run = CompleteInBash("overlay capture --socket /nowhere/overlayd.sock --peer ");

        Assert.Equal("", run.Errors);
        Assert.StartsWith("\ncomplete ", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Completion_InZsh_OffersWhatMayStandThere()
    {
        string script = $$"""
            compdef() { defined="$*" }
            compadd() { print -l -- "${@:2}" }
            source <('{{OverlayProgram.Path}}' completion zsh)
            words=('{{OverlayProgram.Path}}' rou); BUFFER='overlay rou'; CURSOR=${#BUFFER}
            _overlay
            print -- "$defined"
            """;

        ProgramRun run = ProgramRun.Start("zsh", "-f", "-c", script);

        Assert.Equal("", run.Errors);
        Assert.Equal(["route", "routes", "_overlay overlay"], run.Lines);
    }

    [Fact]
    public void Man_Formatted_HasEveryCommandAndNoWarning()
    {
        ProgramRun page = ProgramRun.Check(OverlayProgram.Path, "man");
        ProgramRun formatted = ProgramRun.StartReading(System.Text.Encoding.UTF8.GetBytes(page.Output), "groff", "-man", "-Tutf8", "-ww", "-P-cbou");

        Assert.Equal((0, ""), (formatted.ExitCode, formatted.Errors));
        string[] commands = [.. ProgramRun.Check(OverlayProgram.Path, "[suggest:8]", "overlay ").Lines.Where(word => char.IsAsciiLetter(word[0]))];
        Assert.Contains("explain", commands);
        Assert.All(commands, command => Assert.Contains($"overlay {command}", formatted.Output, StringComparison.Ordinal));
        Assert.Contains("--ecn MARK", formatted.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Man_EveryCommandAndOption_IsThere()
    {
        RootCommand root = Root.Create(TextWriter.Null, TextWriter.Null);
        string page = ManCommand.Page(root).Replace("\\-", "-", StringComparison.Ordinal);

        Check(root, "overlay");

        void Check(Command command, string name)
        {
            if (command.Subcommands.Count == 0)
            {
                int start = page.IndexOf($".SS {name} ", StringComparison.Ordinal);
                Assert.True(start >= 0, name);
                string section = page[start..(page.IndexOf("\n.S", start + 1, StringComparison.Ordinal) + 1)];
                foreach (Option option in command.Options.Where(option => !option.Hidden && option.Name != "--help"))
                {
                    Assert.Contains($"\\fB{option.Name}\\fR", section, StringComparison.Ordinal);
                    Assert.False(string.IsNullOrWhiteSpace(option.Description), $"{name} {option.Name}");
                }
            }
            Assert.False(string.IsNullOrWhiteSpace(command.Description), name);
            foreach (Command subcommand in command.Subcommands) Check(subcommand, $"{name} {subcommand.Name}");
        }
    }

    [Theory]
    [InlineData("'overlay explain --help' tells how it is used", "explain", "--to", "10.0.0.1", "--frobnicate")]
    [InlineData("which packet? give --to ADDRESS, or a captured frame with --read FILE", "explain")]
    [InlineData("--to is for a packet that is made up, and --read gives one; leave out one of the two", "explain", "--to", "10.0.0.1", "--read", "x.pcap")]
    [InlineData("'10.1' is no IP address; write it as 192.0.2.1 or 2001:db8::1", "explain", "--to", "10.1")]
    [InlineData("'loud' is no ECN mark; write not-ect, ect1, ect0, ce", "explain", "--to", "10.0.0.1", "--ecn", "loud")]
    [InlineData("'300' is no number from 0 to 255 for --ttl", "explain", "--to", "10.0.0.1", "--ttl", "300")]
    [InlineData("'99999' is no number from 0 to 65535 for --dport", "explain", "--to", "10.0.0.1", "--dport", "99999")]
    [InlineData("'many' is no number from 0 to 2147483647 for --len", "explain", "--to", "10.0.0.1", "--len", "many")]
    [InlineData("'0' is no number from 1 to 2147483647 for --count", "capture", "--count", "0")]
    [InlineData("'63' is no number from 64 to 262144 for --snaplen", "capture", "--snaplen", "63")]
    [InlineData("'-1' is no number from 0 to 4294967295 for --vni", "network", "create", "x", "--vni", "-1")]
    [InlineData("'0' is no period; give seconds from 0.1 to 86400", "peers", "--watch", "0")]
    [InlineData("nowhere.pcap", "explain", "--read", "nowhere.pcap:3")]
    [InlineData("there is no socket /nowhere/overlayd.sock; start overlayd, or name its 'api: socket:' with --socket", "top", "--once", "--socket", "/nowhere/overlayd.sock")]
    public void AnyCommand_BadInput_NamesItAndTheRemedy(string told, params string[] arguments)
    {
        ProgramRun run = OverlayProgram.Run(arguments);

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains(told, run.Errors, StringComparison.Ordinal);
    }

    /// <summary>What bash offers at the end of a line: in the first line of the output; in the second the command's registration.</summary>
    private static ProgramRun CompleteInBash(string line) => ProgramRun.Start("bash", "--norc", "-c", $$"""
        source <('{{OverlayProgram.Path}}' completion bash)
        PATH='{{Path.GetDirectoryName(OverlayProgram.Path)}}':$PATH
        COMP_LINE='{{line}}'; COMP_POINT=${#COMP_LINE}; read -ra COMP_WORDS <<< "$COMP_LINE"
        [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _overlay
        echo "${COMPREPLY[@]}"
        complete -p overlay
        """);
}
