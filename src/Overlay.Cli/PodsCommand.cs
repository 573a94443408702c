using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay pods</c> and <c>overlay pod show</c>: what the daemon wired for containers on this node.</summary>
internal static class PodsCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        var command = new Command("pods", "Print the pods of this node: addresses, interface, owner, since when.");
        LocalApiCommand.SetListing(command, output, (socket, json, to, cancellation) => ListAsync(socket, json, to, errors, cancellation));
        return command;
    }

    public static Command CreateOne(TextWriter output, TextWriter errors)
    {
        var what = new Argument<string>("POD") { Description = "NAMESPACE/NAME, NAME, an address, a container's ID or its beginning, or an interface of the host." };
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        KnownNames.OfferPods(what, socket);
        var show = new Command("show", "Print all that is known of a pod's interfaces; ends with 1 where there is no such pod.") { what, json, socket };
        show.SetAction((parsed, cancellation) =>
            ShowAsync(parsed.GetValue(socket)!, parsed.GetValue(what)!, parsed.GetValue(json), output, errors, cancellation));
        return new Command("pod", "Ask for single pods.") { show };
    }

    /// <returns>0 when the list was printed, 1 when the daemon could not be asked.</returns>
    public static Task<int> ListAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation) =>
        LocalApiCommand.AskAsync(
            socket,
            async (client, deadline) =>
            {
                PodsDocument pods = await client.GetPodsAsync(deadline).ConfigureAwait(false);
                if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(pods, StatusJson.Default.PodsDocument)).ConfigureAwait(false);
                else WriteList(pods, output);
            },
            errors,
            cancellation);

    /// <returns>0 when there is such a pod, 1 when there is none or the daemon could not be asked.</returns>
    public static async Task<int> ShowAsync(
        string socket, string what, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isFound = false;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return isFound ? code : 1;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            PodsDocument all = await client.GetPodsAsync(deadline).ConfigureAwait(false);
            var found = new PodsDocument([.. all.Pods.Where(pod => Is(pod, what))]);
            isFound = found.Pods.Count > 0;
            if (!isFound) await errors.WriteLineAsync($"overlay: no pod '{what}'; 'overlay pods' lists them").ConfigureAwait(false);
            else if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(found, StatusJson.Default.PodsDocument)).ConfigureAwait(false);
            else WriteEach(found, output);
        }
    }

    private static bool Is(PodStatus pod, string what) =>
        what == pod.Name || what == $"{pod.Namespace}/{pod.Name}" || what == pod.HostInterface
        || pod.Addresses.Any(address => address.Split('/')[0] == what)
        || (what.Length >= 4 && pod.ContainerId.StartsWith(what, StringComparison.Ordinal)) || what == pod.ContainerId;

    private static void WriteList(PodsDocument pods, TextWriter output)
    {
        if (pods.Pods.Count == 0)
        {
            output.WriteLine("no pods");
            return;
        }
        var table = new TextTable(
            TextTable.Text("POD"), TextTable.Text("ADDRESSES"), TextTable.Text("NODE").Yields(4), TextTable.Text("INTERFACE").Yields(2), TextTable.Text("HOST"),
            TextTable.Text("OWNER").Yields(3), TextTable.Text("SINCE").Yields(1));
        foreach (PodStatus pod in pods.Pods)
            table.Add(Name(pod), string.Join(' ', pod.Addresses), pod.Node, pod.Interface, pod.HostInterface, pod.Owner, Since(pod));
        table.Write(output);
    }

    private static void WriteEach(PodsDocument pods, TextWriter output)
    {
        foreach (PodStatus pod in pods.Pods)
        {
            output.WriteLine($"{Name(pod)}, {pod.Interface}");
            var table = new TextTable(TextTable.Text("FIELD"), TextTable.Text("VALUE"));
            foreach (string address in pod.Addresses) table.Add("address", address);
            table.Add("node", pod.Node);
            table.Add("host interface", pod.HostInterface);
            table.Add("mac", pod.Mac);
            table.Add("mtu", pod.Mtu.ToString(CultureInfo.InvariantCulture));
            table.Add("network", pod.Network);
            table.Add("container", pod.ContainerId);
            table.Add("namespace", pod.NetworkNamespace);
            if (pod.Uid is { } uid) table.Add("pod uid", uid);
            table.Add("state", pod.State);
            table.Add("since", Since(pod));
            table.Write(output);
        }
    }

    private static string Name(PodStatus pod) =>
        string.IsNullOrEmpty(pod.Name) ? "-" : string.IsNullOrEmpty(pod.Namespace) ? pod.Name : $"{pod.Namespace}/{pod.Name}";

    private static string Since(PodStatus pod) => pod.Since.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
}
