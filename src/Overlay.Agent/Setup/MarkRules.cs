using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux;
using Overlay.Linux.Netfilter;
using Overlay.Wire;

namespace Overlay.Agent.Setup;

/// <summary>
/// The rules by which the kernel hands us the marks of packets, and takes them (<see cref="MarkedSource"/>): a table of nftables for each device
/// whose segment carries them. Hosts without such a segment need no nftables.
/// </summary>
internal sealed class MarkRules(ILogger log) : IDisposable
{
    private readonly SortedDictionary<string, IReadOnlyList<string>> _rules = new(StringComparer.Ordinal);
    private NfTables? _tables;
    private uint _generation;
    private bool _isSwept;

    private NfTables Tables => _tables ??= new NfTables();

    /// <summary>Gives each device that is to have them its rules, and takes them from the others.</summary>
    /// <exception cref="StartRefusedException">The kernel cannot do that.</exception>
    public void Apply(IReadOnlyList<SegmentPlan> segments, UndoStack undo)
    {
        if (!_isSwept) Sweep(segments);
        _isSwept = true;
        string[] wanted = [.. segments.Where(segment => segment.Tunnel.MarksGroupPolicy).Select(segment => segment.Device)];
        foreach (string device in wanted.Except(_rules.Keys).ToArray())
        {
            Add(device);
            undo.Push(() => Remove(device));
        }
        foreach (string device in _rules.Keys.Except(wanted).ToArray())
        {
            Remove(device);
            undo.Push(() => Add(device));
        }
    }

    /// <summary>Puts back rules that somebody changed or removed.</summary>
    public void Verify()
    {
        if (_rules.Count == 0 || Tables.Generation == _generation) return;
        uint seen = Tables.Generation;
        foreach (string device in _rules.Where(each => !each.Value.SequenceEqual(Tables.ListRules(NfFamily.Netdev, TableOf(each.Key)))).Select(each => each.Key).ToArray())
        {
            try
            {
                Replace(device);
            }
            catch (LinuxException exception)
            {
                // Tried again after the next change by anybody.
                log.LogWarning("group policies no longer reach the host as marks on '{Device}': {Problem}", device, exception.Message);
                continue;
            }
            log.LogWarning("the table '{Table}' of nftables was changed by somebody; it is put back", TableOf(device));
        }
        _generation = seen;
    }

    /// <summary>Removes all that was added.</summary>
    public void Dispose()
    {
        foreach (string device in _rules.Keys.ToArray()) Remove(device);
        _tables?.Dispose();
    }

    /// <summary>Removes what a daemon that ended without removing it left on devices whose segments carry no marks now.</summary>
    private void Sweep(IReadOnlyList<SegmentPlan> segments)
    {
        foreach (SegmentPlan segment in segments.Where(segment => !segment.Tunnel.MarksGroupPolicy))
        {
            try
            {
                if (Tables.ListRules(NfFamily.Netdev, TableOf(segment.Device)).Count > 0) Remove(segment.Device);
            }
            catch (LinuxException exception)
            {
                // A kernel without nftables has nothing of ours either.
                log.LogDebug("nftables cannot be searched for leftovers: {Problem}", exception.Message);
            }
        }
    }

    private static string TableOf(string device) => $"overlay-marks-{device}";

    private void Add(string device)
    {
        try
        {
            Replace(device);
        }
        catch (LinuxException exception)
        {
            throw new StartRefusedException(
                $"group policies cannot be handed to the kernel as marks on '{device}': {exception.Message}",
                "use a kernel with nftables' netdev family and its egress hook (Linux 5.16, NETFILTER_EGRESS), or write a number for 'groupPolicy'", exception);
        }
    }

    private void Replace(string device)
    {
        const string incoming = "in", outgoing = "out";
        NfTransaction table = new NfTransaction(NfFamily.Netdev, TableOf(device)).ReplaceTable();
        table.AddChain(new NfChain(incoming, "filter", NfHook.DeviceIngress, int.MinValue) { Device = device });
        table.AddRule(incoming, new NfRule().FromMac(MarkedSource.Prefix).MarkFromMac());
        table.AddChain(new NfChain(outgoing, "filter", NfHook.DeviceEgress, int.MaxValue) { Device = device });
        table.AddRule(outgoing, new NfRule().MacFromMark(MarkedSource.Prefix, VxlanHeader.GroupPolicyMask));
        Tables.Commit(table);
        _rules[device] = Tables.ListRules(NfFamily.Netdev, TableOf(device));
    }

    private void Remove(string device)
    {
        _rules.Remove(device);
        try
        {
            Tables.Commit(new NfTransaction(NfFamily.Netdev, TableOf(device)).DeleteTable());
        }
        catch (LinuxException exception) when (exception.IsAbsent)
        {
            // Somebody flushed it.
        }
    }
}
