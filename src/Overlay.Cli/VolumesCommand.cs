using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Overlay.Cli.Terminals;
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
        var agent = new Option<string>("--agent")
        {
            Description = "Unix socket of overlayd, which knows pods by their UID.",
            HelpName = "PATH",
            DefaultValueFactory = _ => LocalApi.DefaultSocket,
        };
        Option<double?> watch = Repeat.Option();
        var command = new Command("volumes", "Print the volumes of this node, their pods and their condition.") { json, watch, socket, agent };
        command.SetAction((parsed, cancellation) => Repeat.RunAsync(
            parsed.GetValue(watch), output,
            (to, end) => RunAsync(parsed.GetValue(socket)!, parsed.GetValue(agent)!, parsed.GetValue(json), to, errors, end), cancellation));
        return command;
    }

    /// <returns>0 when the list was printed, 1 when the driver could not be asked.</returns>
    public static Task<int> RunAsync(string socket, string agent, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        return LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation, "overlay-csi");

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            VolumesDocument volumes = await JoinAsync(await client.GetVolumesAsync(deadline).ConfigureAwait(false), agent, errors, deadline).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(volumes, StatusJson.Default.VolumesDocument)).ConfigureAwait(false);
            else Write(volumes, output);
        }
    }

    /// <summary>Adds what overlayd knows of the pods: names that the kubelet did not tell, and addresses.</summary>
    private static async Task<VolumesDocument> JoinAsync(VolumesDocument volumes, string agent, TextWriter errors, CancellationToken cancellation)
    {
        VolumeUser[] users = [.. volumes.Volumes.SelectMany(volume => volume.Users).Where(user => user.PodUid is not null)];
        if (users.Length == 0) return volumes;
        PodStatus[] pods = [];
        try
        {
            using var client = new LocalApiClient(agent);
            pods = [.. (await client.GetPodsAsync(cancellation).ConfigureAwait(false)).Pods];
        }
        catch (LocalApiException exception)
        {
            if (users.Any(user => user.Pod is null)) await errors.WriteLineAsync($"overlay: pods are without names: {exception.Message}").ConfigureAwait(false);
        }
        return volumes with { Volumes = [.. volumes.Volumes.Select(volume => volume with { Users = [.. volume.Users.Select(user => Join(user, pods))] })] };
    }

    private static VolumeUser Join(VolumeUser user, PodStatus[] pods)
    {
        PodStatus[] interfaces = [.. pods.Where(pod => pod.Uid is { } uid && uid == user.PodUid)];
        if (interfaces.Length == 0) return user;
        string? name = string.IsNullOrEmpty(interfaces[0].Name) ? null : $"{interfaces[0].Namespace}/{interfaces[0].Name}";
        return user with { Pod = user.Pod ?? name, Addresses = [.. interfaces.SelectMany(pod => pod.Addresses)] };
    }

    private static void Write(VolumesDocument document, TextWriter output)
    {
        var pools = new TextTable(TextTable.Text("POOL"), TextTable.Number("AVAILABLE"), TextTable.Text("FOLDER"), TextTable.Text("CONDITION"));
        foreach (PoolStatus pool in document.Pools) pools.Add(pool.Name, Bytes(pool.AvailableBytes), pool.Folder, pool.Abnormal ?? "sound");
        pools.Write(output);
        output.WriteLine();
        if (document.Volumes.Count == 0) output.WriteLine("there is no volume");
        else WriteVolumes(document.Volumes, output);
        foreach (string record in document.Damaged) output.WriteLine(record);
    }

    private static void WriteVolumes(IReadOnlyList<VolumeStatus> volumes, TextWriter output)
    {
        var table = new TextTable(
            TextTable.Text("VOLUME"),
            TextTable.Text("POOL"),
            TextTable.Text("KIND").Yields(2),
            TextTable.Number("CAPACITY"),
            TextTable.Number("OCCUPIED").Yields(1),
            TextTable.Number("SNAPSHOTS").Yields(3),
            TextTable.Text("USED BY"),
            TextTable.Text("CONDITION"));
        foreach (VolumeStatus volume in volumes)
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

    private static string Describe(VolumeUser user)
    {
        string addresses = user.Addresses is { Count: > 0 } known ? $" [{string.Join(' ', known)}]" : "";
        return $"{user.Pod ?? user.PodUid ?? user.Target}{addresses}{(user.IsReadOnly ? " (reads)" : "")}";
    }

    private static string Bytes(long bytes)
    {
        (long unit, string name) = bytes >= 1L << 30 ? (1L << 30, "GiB") : bytes >= 1L << 20 ? (1L << 20, "MiB") : (1L << 10, "KiB");
        return string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / unit:0.0} {name}");
    }
}
