using System.CommandLine;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay health</c>: what is wrong with the node, and what to do about it.</summary>
internal static class HealthCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        var command = new Command("health", "Print what is wrong with this node and what to do about it; ends with 1 where anything is.") { json, socket };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(socket)!, parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the node is healthy; 1 when it is not, or the daemon could not be asked.</returns>
    public static async Task<int> RunAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isHealthy = false;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return code == 0 && isHealthy ? 0 : 1;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            HealthDocument health = await client.GetHealthAsync(deadline).ConfigureAwait(false);
            isHealthy = health.Status == HealthDocument.Healthy;
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(health, StatusJson.Default.HealthDocument)).ConfigureAwait(false);
            else Write(health, output);
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
