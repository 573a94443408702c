using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay volumes</c>: the volumes of this node, who uses them and how they are.</summary>
internal static class VolumesCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        Option<bool> json = LocalApiCommand.JsonOption();
        var socket = new Option<string>("--socket")
        {
            Description = "Unix socket of overlay-csi.",
            HelpName = "PATH",
            DefaultValueFactory = _ => LocalApi.DefaultVolumesSocket,
        };
        var command = new Command("volumes", "Print the volumes of this node, their pods and their condition.") { json, socket };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(socket)!, parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the list was printed, 1 when the driver could not be asked.</returns>
    public static Task<int> RunAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        return LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation, "overlay-csi");

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            VolumesDocument volumes = await client.GetVolumesAsync(deadline).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(volumes, StatusJson.Default.VolumesDocument)).ConfigureAwait(false);
            else Write(volumes, output);
        }
    }

    private static void Write(VolumesDocument document, TextWriter output)
    {
        var pools = new TextTable(TextTable.Text("POOL"), TextTable.Number("AVAILABLE"), TextTable.Text("FOLDER"));
        foreach (PoolStatus pool in document.Pools) pools.Add(pool.Name, Bytes(pool.AvailableBytes), pool.Folder);
        pools.Write(output);
        output.WriteLine();
        if (document.Volumes.Count == 0)
        {
            output.WriteLine("there is no volume");
            return;
        }
        var table = new TextTable(
            TextTable.Text("VOLUME"),
            TextTable.Text("POOL"),
            TextTable.Text("KIND"),
            TextTable.Number("CAPACITY"),
            TextTable.Number("OCCUPIED"),
            TextTable.Number("SNAPSHOTS"),
            TextTable.Text("USED BY"),
            TextTable.Text("CONDITION"));
        foreach (VolumeStatus volume in document.Volumes)
        {
            string users = volume.Users.Count > 0 ? string.Join(", ", volume.Users.Select(Describe)) : volume.StagedAt is null ? "-" : "(staged)";
            table.Add(
                volume.Name,
                volume.Pool.Length > 0 ? volume.Pool : "-",
                volume.Kind,
                volume.CapacityBytes > 0 ? Bytes(volume.CapacityBytes) : "-",
                volume.OccupiedBytes > 0 ? Bytes(volume.OccupiedBytes) : "-",
                volume.Snapshots.Count.ToString(CultureInfo.InvariantCulture),
                users,
                volume.Abnormal ?? "sound");
        }
        table.Write(output);
    }

    private static string Describe(VolumeUser user) => (user.Pod ?? user.PodUid ?? user.Target) + (user.IsReadOnly ? " (reads)" : "");

    private static string Bytes(long bytes)
    {
        (long unit, string name) = bytes >= 1L << 30 ? (1L << 30, "GiB") : bytes >= 1L << 20 ? (1L << 20, "MiB") : (1L << 10, "KiB");
        return string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / unit:0.0} {name}");
    }
}
