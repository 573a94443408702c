using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Pods.Cni;
using Overlay.Control.Ipam;
using Overlay.Linux;
using Overlay.Linux.Namespaces;
using Overlay.Linux.Netlink;

namespace Overlay.Agent.Pods;

/// <summary>Compares what is held with what there is.</summary>
internal sealed partial class PodNetwork
{
    private readonly Dictionary<string, long> _suspects = [];
    private readonly HashSet<string> _told = [];

    /// <summary>By network: what the runtime said last that it has; nothing where it never does.</summary>
    private readonly Dictionary<string, HashSet<CniAttachmentId>> _listed = [];

    /// <summary>
    /// Takes back what is half made, frees what ended without DEL, and puts back what somebody took from the host's side of pods. What looks
    /// leaked is freed once it has looked so for as long as is configured.
    /// </summary>
    public void Reconcile()
    {
        RunPending();
        foreach (Attachment left in _journal.All.Where(each => !each.IsWired).ToArray())
        {
            _log.LogWarning("{Pod} was left half made; it is taken back", left.Label);
            Undo(left);
        }
        RestoreBridge();
        Dictionary<string, Link> links = PodLinks().ToDictionary(link => link.Name);
        HostSide side = HostSide.Read(_netlink);
        var seen = new HashSet<string>();
        foreach (Attachment attachment in _journal.All.ToArray())
        {
            if (links.Remove(attachment.HostInterface, out Link? link)) Restore(attachment, link, side);
            else if (IsAlive(attachment)) TellOnce(attachment.Owner, $"{attachment.Label} has lost its interface to somebody; delete the pod");
            else if (!IsListed(attachment) && IsConfirmed(attachment.Owner, seen)) Free(attachment);
        }
        FollowMtu();
        foreach (string gone in _suspects.Keys.Where(key => !seen.Contains(key)).ToArray()) _suspects.Remove(gone);
        foreach (Link unknown in links.Values)
            TellOnce(unknown.Name, $"the interface {unknown.Name} leads to a pod that nothing is known of; it is left alone, and its addresses are given to nobody");
        CollectAddresses(links.Values, side);
        _journal.Prune();
    }

    /// <summary>Does the deletions that the plugin left on disk while the daemon did not answer.</summary>
    private void RunPending()
    {
        foreach (PendingDeletion pending in _pending.Read())
        {
            try
            {
                if (pending.Call is { } call) Delete(call);
                PendingDeletions.Done(pending);
            }
            catch (CniException exception)
            {
                _log.LogError("{Problem}", exception.Message);
                return;
            }
        }
    }

    private void RestoreBridge()
    {
        try
        {
            if (_bridge?.SetUp(_settings.Mtu) == true) _log.LogWarning("the pods' bridge was taken away by somebody; it is put back");
        }
        catch (Exception exception) when (exception is LinuxException or StartRefusedException)
        {
            TellOnce("bridge", $"the pods' bridge cannot be put back: {exception.Message}");
        }
    }

    private void Restore(Attachment attachment, Link link, HostSide side)
    {
        try
        {
            if (_wiring.Restore(attachment, link, side, _settings.OwnAddresses))
                _log.LogWarning("the host's side of {Pod} was changed by somebody; it is put back", attachment.Label);
        }
        catch (LinuxException exception)
        {
            TellOnce(attachment.Owner, $"the host's side of {attachment.Label} cannot be put back: {exception.Message}");
        }
    }

    private void Free(Attachment attachment)
    {
        _log.LogWarning("{Pod} ended without being deleted; {Addresses} are free", attachment.Label, string.Join(", ", attachment.Addresses.Select(own => own.Address)));
        Undo(attachment);
    }

    private void CollectAddresses(IEnumerable<Link> unknown, HostSide side)
    {
        HashSet<IPAddress> live = [.. side.AddressesBehind(unknown.Select(link => link.Index).ToHashSet())];
        HashSet<string> owners = [.. _journal.All.Select(attachment => attachment.Owner)];
        try
        {
            foreach (NodeAllocator.Held leaked in _addresses.CollectLeaks(live, owners))
                _log.LogWarning("{Address} was held for {Owner}, of which there is nothing; it is free", leaked.Address, leaked.Owner);
        }
        catch (JournalException exception)
        {
            _log.LogError("{Problem}", exception.Message);
        }
    }

    /// <summary>Whether the runtime said last that it has it: it will delete it, or list it no more.</summary>
    private bool IsListed(Attachment attachment) =>
        _listed.TryGetValue(attachment.Network, out HashSet<CniAttachmentId>? valid) && valid.Contains(new CniAttachmentId(attachment.ContainerId, attachment.Interface));

    /// <summary>Whether something has looked leaked for long enough.</summary>
    private bool IsConfirmed(string what, HashSet<string> seen)
    {
        seen.Add(what);
        long now = Stopwatch.GetTimestamp();
        if (_suspects.TryAdd(what, now)) return false;
        return Stopwatch.GetElapsedTime(_suspects[what], now) >= TimeSpan.FromSeconds(_settings.Options.LeakSeconds);
    }

    /// <summary>Gives pods the MTU of their segment, which may have become another one while no daemon ran.</summary>
    private void FollowMtu()
    {
        int mtu = _settings.Mtu;
        int changed = 0;
        foreach (Attachment attachment in _journal.All.Where(each => each.Mtu != mtu).ToArray())
        {
            try
            {
                using NetworkNamespaceFile? space = NetworkNamespaceFile.Open(attachment.Namespace);
                if (space is null || IdOf(space) != attachment.NamespaceId || _netlink.FindLink(attachment.HostInterface) is not { } link) continue;
                _wiring.SetMtu(attachment, link, space, mtu);
                _journal.Write(attachment with { Mtu = mtu });
                changed++;
            }
            catch (Exception exception) when (exception is LinuxException or IOException)
            {
                TellOnce(attachment.Owner, $"the MTU of {attachment.Label} stays {attachment.Mtu} instead of {mtu}: {exception.Message}");
            }
        }
        if (changed > 0) _log.LogInformation("{Count} pods have MTU {Mtu}", changed, mtu);
    }

    private void TellOnce(string about, string problem)
    {
        if (_told.Add($"{about} {problem}")) _log.LogWarning("{Problem}", problem);
    }
}
