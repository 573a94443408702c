using System.CommandLine;
using System.CommandLine.Help;
using System.Reflection;
using System.Text;

namespace Overlay.Cli.Shell;

/// <summary><c>overlay man</c>: the manual page, made from the same commands that are parsed, in the macros of man(7).</summary>
internal static class ManCommand
{
    public static Command Create(TextWriter output)
    {
        var command = new Command("man", "Print the manual page; read it with: overlay man | man -l -");
        command.SetAction(parsed => output.Write(Page(parsed.RootCommandResult.Command)));
        return command;
    }

    /// <returns>overlay(1), in roff.</returns>
    public static string Page(Command root)
    {
        string version = typeof(ManCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";
        var page = new StringBuilder();
        Line(page, $".TH OVERLAY 1 \"\" \"overlay {Text(version)}\" \"Overlay\"");
        Line(page, ".SH NAME");
        Line(page, "overlay \\- show, explain and administer an overlay network");
        Line(page, ".SH SYNOPSIS");
        Line(page, ".B overlay");
        Line(page, ".I command");
        Line(page, "[\\fIoptions\\fR]");
        Line(page, ".SH DESCRIPTION");
        Line(page, Text(root.Description ?? ""));
        Line(page, ".SH OPTIONS");
        foreach (Option option in root.Options.Where(each => !each.Hidden)) Write(page, option);
        Line(page, ".SH COMMANDS");
        foreach (Command command in root.Subcommands.Where(command => !command.Hidden)) Write(page, command, "overlay");
        Line(page, ".SH EXIT STATUS");
        Line(page, "0 when all is well; 1 when something is wrong, which standard error tells with what to do about it. Commands that answer a question end");
        Line(page, "with another number where their description says so.");
        Line(page, ".SH FILES");
        Line(page, ".TP");
        Line(page, $".I {Text(Rpc.LocalApi.DefaultSocket)}");
        Line(page, "Where overlayd listens unless its configuration says otherwise.");
        return page.ToString();
    }

    private static void Write(StringBuilder page, Command command, string parent)
    {
        string name = $"{parent} {command.Name}";
        if (command.Subcommands.Any())
        {
            foreach (Command subcommand in command.Subcommands.Where(each => !each.Hidden)) Write(page, subcommand, name);
            return;
        }
        string arguments = string.Concat(command.Arguments.Select(argument => $" \\fI{Text(argument.HelpName ?? argument.Name)}\\fR"));
        Line(page, $".SS {Text(name)}{arguments} [\\fIoptions\\fR]");
        Line(page, Text(command.Description ?? ""));
        foreach (Argument argument in command.Arguments.Where(each => !each.Hidden))
        {
            Line(page, ".TP");
            Line(page, $"\\fI{Text(argument.HelpName ?? argument.Name)}\\fR");
            Line(page, Text(argument.Description ?? ""));
        }
        foreach (Option option in command.Options.Where(each => !each.Hidden && each is not HelpOption)) Write(page, option);
    }

    private static void Write(StringBuilder page, Option option)
    {
        Line(page, ".TP");
        string value = option.HelpName is { } help ? $" \\fI{Text(option.Arity.MinimumNumberOfValues == 0 && option.Arity.MaximumNumberOfValues > 0 ? $"[{help}]" : help)}\\fR" : "";
        Line(page, $"{string.Join(", ", option.Aliases.Prepend(option.Name).Select(alias => $"\\fB{Text(alias)}\\fR"))}{value}");
        Line(page, Text(option.Description ?? ""));
    }

    private static void Line(StringBuilder page, string line) => page.Append(line).Append('\n');

    /// <summary>Text that roff takes as it is.</summary>
    private static string Text(string text)
    {
        string escaped = text.Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal);
        return escaped.StartsWith('.') || escaped.StartsWith('\'') ? "\\&" + escaped : escaped;
    }
}
