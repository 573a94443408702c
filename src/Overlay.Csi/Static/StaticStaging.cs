using System.Net;
using System.Net.Sockets;
using Overlay.Csi.Node;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Mounts;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Static;

/// <summary>Mounts a static volume at its staging path, through the kernel; and back. Its record lasts as long as it is staged.</summary>
internal sealed class StaticStaging(VolumeStore store, MountOwners owners, Steps steps)
{
    /// <param name="secrets">User name and password of CIFS. They are handed to the kernel and kept nowhere.</param>
    /// <exception cref="GrpcException">As CSI tells for NodeStageVolume.</exception>
    public void Stage(string id, StaticVolume volume, string path, string arguments, string shape, IReadOnlyDictionary<string, string> secrets)
    {
        VolumeRecord? known = store.Find(id);
        if (known?.Staging is { } staging && MountTable.At(staging.Path) is [.., { } present])
        {
            if (staging.Mount is { } mounted && mounted != present.Identity) throw Foreign(id, present);
            if (staging.Arguments != arguments || staging.Path != path)
            {
                throw new GrpcException(GrpcStatusCode.AlreadyExists, $"volume {id} is staged at {staging.Path} with other attributes or mount flags");
            }
            if (staging.Mount is null) Record(known, present);
            return;
        }
        if (MountTable.At(path) is [.., { } other]) throw Foreign(id, other);
        TargetPath.Make(path, isFile: false);
        var record = new VolumeRecord(id, id, "", 0, false, shape, VolumePhase.Ready, 0)
        {
            Static = new StaticRecord(volume.Kind, volume.Source),
            Staging = new StagingRecord(path, arguments, volume.Options.IsReadOnly),
            Published = known?.Published,
        };
        steps.Next(id, "record staging");
        store.Put(record);
        bool isMounted = false;
        try
        {
            steps.Next(id, "mount");
            using DetachedMount mount = Mount(volume, secrets);
            steps.Next(id, "move mount");
            mount.MoveTo(path);
            isMounted = true;
        }
        finally
        {
            if (!isMounted) Forget(known, id);
        }
        if (MountTable.At(path) is [.., { } top]) Record(record, top);
    }

    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is published still. UNAVAILABLE: it is in use.</exception>
    public void Unstage(VolumeRecord record, string path)
    {
        if (record.Publications.FirstOrDefault(publication => MountTable.At(publication.Target).Count > 0) is { } published)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {record.Id} is mounted at {published.Target}; unpublish it first");
        }
        owners.Check(record.Id, record, path);
        if (record.Staging is { } staging && MountTable.Canonical(staging.Path) != MountTable.Canonical(path)) return;
        steps.Next(record.Id, "unmount");
        TargetPath.Unmount(path);
        steps.Next(record.Id, "forget staging");
        store.Remove(record.Id);
    }

    /// <summary>Nothing was staged: what is on record is again what was.</summary>
    private void Forget(VolumeRecord? known, string id)
    {
        string? problem = Reconciler.Try("it stays recorded as staged", () =>
        {
            if (known is null) store.Remove(id);
            else store.Put(known);
        });
        if (problem is not null) steps.Warn(id, problem);
    }

    /// <summary>What was mounted, so that what is mounted over it is not taken for the volume.</summary>
    private void Record(VolumeRecord record, MountEntry mounted)
    {
        steps.Next(record.Id, "record mount");
        store.Put(record with { Staging = record.Staging! with { Mount = mounted.Identity } });
    }

    private static GrpcException Foreign(string id, MountEntry mount) => new(
        GrpcStatusCode.FailedPrecondition, $"{mount.Target} has {mount.Source} ({mount.Type}) mounted, which is not volume {id}; unmount it");

    private static DetachedMount Mount(StaticVolume volume, IReadOnlyDictionary<string, string> secrets)
    {
        try
        {
            if (volume.Kind == "directory") return Bind(volume);
            return DetachedMount.Of(volume.Kind, volume.Source, [.. volume.Options.FileSystem, .. Implied(volume, secrets)], volume.Options.Attributes);
        }
        catch (LinuxException exception) when (exception.IsUnknownToKernel)
        {
            throw new GrpcException(
                GrpcStatusCode.FailedPrecondition, $"this kernel has no {volume.Kind.ToUpperInvariant()} client: load its module '{volume.Kind}', or run a kernel that has it", exception);
        }
        catch (LinuxException exception) when (exception.IsInvalid)
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{volume.Kind} does not take its mount flags: {exception.Message}", exception);
        }
    }

    private static DetachedMount Bind(StaticVolume volume)
    {
        // A link that a pod put there since the path was resolved and allowed must not lead out of what is allowed.
        DetachedMount mount = DetachedMount.CopyResolved(volume.Source)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{volume.Source} is no folder, or a symbolic link leads elsewhere; make it, or mount its disk");
        if (volume.Options.Attributes != MountAttributes.None) mount.Restrict(volume.Options.Attributes);
        return mount;
    }

    private static IEnumerable<KeyValuePair<string, string?>> Implied(StaticVolume volume, IReadOnlyDictionary<string, string> secrets)
    {
        if (volume.Options.IsReadOnly) yield return new("ro", null);
        if (volume.Kind == "nfs")
        {
            yield return new("addr", AddressOf(volume.Source[..volume.Source.IndexOf(":/", StringComparison.Ordinal)].Trim('[', ']')));
            if (!volume.Options.FileSystem.Any(option => option.Key is "vers" or "nfsvers")) yield return new("vers", "4.2");
        }
        else if (volume.Kind == "cifs")
        {
            yield return new("ip", AddressOf(volume.Source[2..].Split('/')[0]));
            foreach ((string secret, string option) in new[] { ("username", "user"), ("password", "pass"), ("domain", "domain") })
            {
                if (secrets.TryGetValue(secret, out string? value)) yield return new(option, value);
            }
        }
    }

    /// <summary>The kernel resolves no names.</summary>
    private static string AddressOf(string server)
    {
        try
        {
            return Dns.GetHostAddresses(server)[0].ToString();
        }
        catch (SocketException exception)
        {
            throw new GrpcException(GrpcStatusCode.Unavailable, $"server '{server}' has no address: {exception.Message}", exception);
        }
    }
}
