using System.Net;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Agent.Pods.Cni;
using Overlay.Linux;
using Overlay.Linux.Namespaces;

namespace Overlay.Agent.Pods;

/// <summary>The commands of the CNI specification 1.1.</summary>
internal sealed partial class PodNetwork
{
    private JsonObject Add(CniCall call)
    {
        if (_settings.Options.Drain)
            throw new CniException(CniErrorCode.TryAgainLater, $"{call.Pod} is not added: the node is drained", "write 'drain: false' under 'pods:' and reload");
        using NetworkNamespaceFile space = OpenNamespace(call)
            ?? throw new CniException(CniErrorCode.UnknownContainer, $"{call.Pod}: {call.Namespace} is no network namespace", "the container has ended, or the path is not seen by overlayd");
        if (space.Identity == _home.Identity)
            throw new CniException(CniErrorCode.InvalidEnvironment, $"{call.Pod}: {call.Namespace} is the node's own network namespace");
        MakeRoomFor(call, space);

        string owner = Attachment.OwnerOf(call.Configuration.Name, call.ContainerId, call.Interface);
        var attachment = new Attachment
        {
            Network = call.Configuration.Name,
            ContainerId = call.ContainerId,
            Interface = call.Interface,
            Namespace = call.Namespace,
            NamespaceId = IdOf(space),
            HostInterface = Attachment.HostInterfaceOf(owner),
            Since = DateTimeOffset.UtcNow,
            Boot = _boot,
            PodNamespace = call.PodNamespace,
            PodName = call.PodName,
            PodUid = call.PodUid,
            Mtu = _settings.Mtu,
        };
        try
        {
            _journal.Write(attachment);
            FollowPrefixes();
            RememberedPod? before = attachment.Identity is { } identity ? _journal.Remembered(identity) : null;
            IReadOnlyList<IPAddress> addresses = _addresses.Allocate(owner, Wanted(call), before);
            attachment = attachment with
            {
                Addresses = [.. addresses.Select(_wiring.Attached)],
                Mac = (MacAskedFor(call) ?? DeviceMac.Derive("pod", addresses[0].ToString())).ToString(),
            };
            _journal.Write(attachment);
            _filter.Allow(SourcesOf(PodOf(attachment)));
            _wiring.Wire(attachment, space, _settings.OwnAddresses);
            // Held open here, it took everything; with the last who holds it, it goes.
            if (!IsAlive(attachment))
                throw new CniException(CniErrorCode.UnknownContainer, $"the network namespace {call.Namespace} went while it was wired", "the container has ended; nothing is left of the call");
            attachment = attachment with { IsWired = true };
            _journal.Write(attachment);
            return CniResult.Of(attachment, HostMacOf(attachment), call.Configuration);
        }
        catch (CniException exception)
        {
            Undo(attachment);
            throw new CniException(exception.Code, $"{call.Pod}: {exception.Message}", exception.Details, exception);
        }
        catch (LinuxException exception)
        {
            Undo(attachment);
            throw new CniException(exception.AlreadyExists ? CniErrorCode.InterfaceExists : CniErrorCode.IoFailure, $"{call.Pod}: {exception.Message}", exception.AlreadyExists
                ? $"something is in the way: an interface {call.Interface} in the container, or {attachment.HostInterface} or its route on the host" : "", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Undo(attachment);
            throw new CniException(CniErrorCode.IoFailure, $"{call.Pod}: {exception.Message}", $"overlayd writes to {_settings.Options.State}", exception);
        }
    }

    /// <summary>Refuses an interface that there is; one of a container of the same name that ended without DEL goes.</summary>
    private void MakeRoomFor(CniCall call, NetworkNamespaceFile space)
    {
        string owner = Attachment.OwnerOf(call.Configuration.Name, call.ContainerId, call.Interface);
        if (_journal.Find(owner) is not { } old) return;
        if (old.IsWired && old.NamespaceId == IdOf(space) && _netlink.FindLink(old.HostInterface) is not null)
            throw new CniException(CniErrorCode.InterfaceExists, $"{call.Pod} has been added already, with {string.Join(", ", old.Addresses.Select(own => own.Address))}", "delete it first");
        if (old.IsWired && IsAlive(old))
            throw new CniException(CniErrorCode.InterfaceExists, $"{call.Pod} is in use by another network namespace, {old.Namespace}", "delete it first");
        try
        {
            Remove(old);
        }
        catch (Exception exception) when (exception is LinuxException or IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.TryAgainLater, $"{call.Pod}: what is left of one before it cannot be removed: {exception.Message}", "the call can be repeated", exception);
        }
    }

    /// <summary>Never fails because something is gone already.</summary>
    private void Delete(CniCall call)
    {
        string owner = Attachment.OwnerOf(call.Configuration.Name, call.ContainerId, call.Interface);
        try
        {
            if (_journal.Find(owner) is { } attachment)
            {
                Remove(attachment);
                return;
            }
            _wiring.Unwire(Attachment.HostInterfaceOf(owner));
            _addresses.Release(owner);
        }
        catch (Exception exception) when (exception is LinuxException or IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.TryAgainLater, $"{call.Pod} cannot be deleted: {exception.Message}", "the call can be repeated", exception);
        }
    }

    /// <summary>Takes back an ADD whose result nobody took, unless what there is now was added since.</summary>
    public void Abandon(CniCall call, DateTimeOffset answered)
    {
        if (_journal.Find(Attachment.OwnerOf(call.Configuration.Name, call.ContainerId, call.Interface)) is not { } attachment || attachment.Since > answered) return;
        _log.LogWarning("{Pod} was added for a caller that is gone; it is taken back", attachment.Label);
        Undo(attachment);
    }

    private void Check(CniCall call)
    {
        if (call.Configuration.PreviousResult is not { } result) throw new CniException(CniErrorCode.InvalidConfiguration, $"{call.Pod}: CHECK takes the prevResult of ADD");
        string owner = Attachment.OwnerOf(call.Configuration.Name, call.ContainerId, call.Interface);
        if (_journal.Find(owner) is not { IsWired: true } attachment) throw new CniException(CniErrorCode.UnknownContainer, $"{call.Pod} was not added, or has been deleted");
        using NetworkNamespaceFile? space = OpenNamespace(call);
        if (space is null || IdOf(space) != attachment.NamespaceId)
            throw new CniException(CniErrorCode.UnknownContainer, $"{call.Pod}: {call.Namespace} is not the network namespace that was added");
        _filter.Verify();
        var wrong = new List<string>(Problems(CniResult.Expected(attachment, result), space));
        foreach (AttachedAddress own in attachment.Addresses)
        {
            if (!CniResult.Addresses(result).Contains(own.Address)) wrong.Add($"prevResult does not hold the address {own.Address}");
        }
        if (wrong.Count > 0) throw new CniException(CniErrorCode.NotAsAdded, $"{call.Pod}: {string.Join("; ", wrong)}", "restart the pod");
    }

    /// <summary>Deletes what the runtime has no more, of one network. Goes on past what fails, and tells it in the end.</summary>
    private void Collect(CniCall call)
    {
        CniConfiguration configuration = call.Configuration;
        if (configuration.ValidAttachments is { } listed) _listed[configuration.Name] = [.. listed];
        var failures = new List<string>();
        foreach (Attachment attachment in _journal.All.Where(each => each.Network == configuration.Name).ToArray())
        {
            bool isStale = configuration.ValidAttachments is { } valid
                ? !valid.Contains(new CniAttachmentId(attachment.ContainerId, attachment.Interface))
                // The runtime does not say what it has, so only what has certainly ended goes.
                : !IsAlive(attachment);
            if (!isStale) continue;
            try
            {
                Remove(attachment);
                _log.LogInformation("{Pod} was collected: the runtime has it no more", attachment.Label);
            }
            catch (Exception exception) when (exception is LinuxException or CniException or IOException)
            {
                failures.Add($"{attachment.Label}: {exception.Message}");
            }
        }
        if (failures.Count > 0) throw new CniException(CniErrorCode.IoFailure, $"not all could be collected: {string.Join("; ", failures)}", "the call can be repeated");
    }

    private void TellStatus()
    {
        if (_netlink.FindLink(_settings.Device) is not { IsUp: true })
            throw new CniException(CniErrorCode.LimitedConnectivity, $"the overlay's device {_settings.Device} is down: pods reach no other node", $"set it up (ip link set {_settings.Device} up), or see overlayd's log");
        if (_settings.Options.Drain) throw new CniException(CniErrorCode.NotAvailable, "the node is drained", "write 'drain: false' under 'pods:' and reload");
        if (_addresses.Doubt is { } doubt) throw new CniException(CniErrorCode.NotAvailable, doubt, _addresses.Remedy);
        if (_addresses.Free <= 0) throw new CniException(CniErrorCode.NotAvailable, "no address is free on this node", _addresses.Remedy);
    }

    /// <summary>What is not as it was added.</summary>
    private IReadOnlyList<string> Problems(ExpectedAttachment expected, NetworkNamespaceFile space)
    {
        try
        {
            return _wiring.Check(expected, space);
        }
        catch (LinuxException exception)
        {
            return [exception.Message];
        }
    }

    /// <summary>Asked for by the capability <c>ips</c>, or by IP in CNI_ARGS.</summary>
    private static IReadOnlyList<IPAddress> Wanted(CniCall call)
    {
        if (call.Configuration.Addresses.Count > 0) return call.Configuration.Addresses;
        return call.Arguments.GetValueOrDefault("IP") is { Length: > 0 } text
            ? [.. text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(each => CniConfiguration.ReadAddress(each, "IP in CNI_ARGS", CniErrorCode.InvalidEnvironment))]
            : [];
    }

    private static Wire.MacAddress? MacAskedFor(CniCall call)
    {
        if (call.Configuration.Mac is { } mac) return mac;
        return call.Arguments.GetValueOrDefault("MAC") is { Length: > 0 } text ? CniConfiguration.ReadMac(text, "MAC in CNI_ARGS", CniErrorCode.InvalidEnvironment) : null;
    }

    private string HostMacOf(Attachment attachment) => (_bridge?.PortMac(attachment.HostInterface) ?? PodWiring.HostMac).ToString();

    private static string IdOf(NetworkNamespaceFile space) => $"{space.Identity.Device}:{space.Identity.Inode}";

    private static NetworkNamespaceFile? OpenNamespace(CniCall call)
    {
        try
        {
            return NetworkNamespaceFile.Open(call.Namespace);
        }
        catch (LinuxException exception)
        {
            throw new CniException(CniErrorCode.InvalidEnvironment, $"{call.Pod}: CNI_NETNS cannot be used: {exception.Message}", "", exception);
        }
    }

    /// <summary>Whether the container's namespace is there. Where that cannot be told, it is.</summary>
    private static bool IsAlive(Attachment attachment)
    {
        try
        {
            using NetworkNamespaceFile? space = NetworkNamespaceFile.Open(attachment.Namespace);
            return space is not null && IdOf(space) == attachment.NamespaceId;
        }
        catch (LinuxException)
        {
            return true;
        }
    }
}
