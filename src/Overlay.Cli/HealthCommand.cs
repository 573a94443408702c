using System.CommandLine;
using System.Text.Json;
using Overlay.Cli.Terminals;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay health</c>: what is wrong with the node, and what to do about it.</summary>
internal static class HealthCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<double?> watch = Repeat.Option();
        Option<string> socket = LocalApiCommand.SocketOption();
        var command = new Command("health", "Print what is wrong with this node and what to do about it; ends with 1 where anything is.") { json, watch, socket };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(socket)!, parsed.GetValue(json), parsed.GetValue(watch), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the node is healthy, or was when it was printed last; 1 when it is not, or the daemon could not be asked.</returns>
    public static async Task<int> RunAsync(string socket, bool asJson, double? every, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isHealthy = false;
        int code = await Repeat.RunAsync(
            every, output, (to, end) => LocalApiCommand.AskAsync(socket, (client, deadline) => PrintAsync(client, to, deadline), errors, end), cancellation).ConfigureAwait(false);
        return code == 0 && isHealthy ? 0 : 1;

        async Task PrintAsync(LocalApiClient client, TextWriter to, CancellationToken deadline)
        {
            HealthDocument health = await client.GetHealthAsync(deadline).ConfigureAwait(false);
            isHealthy = health.Status == HealthDocument.Healthy;
            if (asJson) await to.WriteLineAsync(JsonSerializer.Serialize(health, StatusJson.Default.HealthDocument)).ConfigureAwait(false);
            else Write(health, to);
        }
    }

    private static void Write(HealthDocument health, TextWriter output)
    {
        output.WriteLine($"{health.Node}: {health.Status}, {(health.Ready ? "ready" : "not ready")}");
        foreach (HealthFinding finding in health.Findings)
        {
            output.WriteLine();
            output.WriteLine($"  {finding.Severity} ({finding.Check}): {finding.Problem}");
            output.WriteLine($"    remedy: {finding.Remedy}");
        }
        output.WriteLine();
        output.WriteLine("SELF-TESTS AT START");
        var table = new TextTable(TextTable.Text("TEST"), TextTable.Text("RESULT"), TextTable.Text("OUTCOME"));
        foreach (SelfTestResult test in health.SelfTests) table.Add(test.Name, test.Passed switch { true => "passed", false => "failed", null => "not tried" }, test.Outcome);
        table.Write(output);
    }
}
