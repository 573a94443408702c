using System.Runtime.InteropServices;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Tap;

/// <summary>
/// A TAP device with virtio-net headers in the network namespace of the thread that opened it. It is created where none of that name
/// exists; a device that is not persistent vanishes when this is disposed.
/// </summary>
public sealed unsafe class TapDevice : IDisposable
{
    /// <summary>Sets of offloads to ask for, best first, each with what its predecessor had more.</summary>
    private static readonly (TapOffloads Set, string Dropped)[] Ladder =
    [
        (TapOffloads.All, ""),
        (TapOffloads.All & ~(TapOffloads.Uso4 | TapOffloads.Uso6), "UDP segmentation (USO): UDP leaves applications one datagram at a time"),
        (TapOffloads.Checksum | TapOffloads.Tso4 | TapOffloads.Tso6, "TCP segmentation with ECN: the kernel segments packets that carry CWR"),
        (TapOffloads.Checksum, "TCP segmentation (TSO): TCP leaves applications one segment at a time"),
        (TapOffloads.None, "checksum offload: the kernel finishes every checksum"),
    ];

    private readonly TapQueue[] _queues;

    private TapDevice(string name, int index, TapQueue[] queues, TapOffloads offloads, List<string> refusals)
    {
        Name = name;
        InterfaceIndex = index;
        _queues = queues;
        Offloads = offloads;
        Refusals = refusals;
    }

    public string Name { get; }

    public int InterfaceIndex { get; }

    public IReadOnlyList<TapQueue> Queues => _queues;

    /// <summary>What the kernel granted.</summary>
    public TapOffloads Offloads { get; }

    /// <summary>What the kernel refused or the options exclude, one readable text each, for the log and status.</summary>
    public IReadOnlyList<string> Refusals { get; }

    /// <exception cref="ArgumentException">The name is not one an interface can have.</exception>
    /// <exception cref="LinuxException">The device cannot be opened; the text says why.</exception>
    public static TapDevice Open(TapOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Queues, 1, nameof(options));
        var descriptors = new List<FileDescriptor>(options.Queues);
        try
        {
            bool multiQueue = options.Queues > 1;
            for (int i = 0; i < options.Queues; i++) descriptors.Add(TunDescriptor.Attach(options.Name, ref multiQueue));

            int first = descriptors[0].Number;
            int headerSize = VirtioNetHeader.Size;
            if (Libc.Ioctl(first, Tun.TUNSETVNETHDRSZ, &headerSize) < 0) throw LinuxException.Last($"TUNSETVNETHDRSZ {options.Name}");
            if (Libc.IoctlValue(first, Tun.TUNSETPERSIST, options.Persistent ? 1u : 0u) < 0) throw LinuxException.Last($"TUNSETPERSIST {options.Name}");
            var refusals = new List<string>();
            TapOffloads offloads = NegotiateOffloads(first, options, refusals);
            uint index = Libc.InterfaceNameToIndex(options.Name);
            if (index == 0) throw LinuxException.Last($"if_nametoindex {options.Name}");
            return new TapDevice(options.Name, (int)index, [.. descriptors.Select(fd => new TapQueue(fd, options.Name))], offloads, refusals);
        }
        catch
        {
            descriptors.ForEach(descriptor => descriptor.Dispose());
            throw;
        }
    }

    /// <summary>Detaches all queues. No worker may use them any more.</summary>
    public void Dispose()
    {
        foreach (TapQueue queue in _queues) queue.Close();
    }

    private static TapOffloads NegotiateOffloads(int descriptor, TapOptions options, List<string> refusals)
    {
        string name = options.Name;
        int errno = 0;
        foreach ((TapOffloads set, string dropped) in Ladder)
        {
            if (dropped.Length > 0) refusals.Add(errno == 0 ? $"{name} does without {dropped}" : $"{name} refuses {dropped} ({LinuxException.Describe(errno)})");
            if ((set & ~options.Offloads) != 0) continue;
            if (Libc.IoctlValue(descriptor, Tun.TUNSETOFFLOAD, (nuint)set) >= 0) return set;
            errno = Marshal.GetLastSystemError();
        }
        throw new LinuxException($"TUNSETOFFLOAD {name} 0", errno);
    }
}
