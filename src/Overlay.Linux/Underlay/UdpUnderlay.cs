using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;

namespace Overlay.Linux.Underlay;

/// <summary>
/// One queue of the underlay over UDP sockets, IPv4, IPv6 or both, in the network namespace of the thread that made it. One worker
/// thread uses it.
/// </summary>
public sealed class UdpUnderlay : IUnderlay, IDisposable
{
    private readonly UdpReceiver _receiver;
    private readonly SourceSockets _sources;
    private readonly bool _ownsSources;
    private readonly UdpSender _sender;
    private readonly List<string> _refusals = [];

    /// <exception cref="ArgumentException">No address, or two of a family.</exception>
    /// <exception cref="LinuxException">A socket cannot be had; the text says why.</exception>
    public UdpUnderlay(UdpUnderlayOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.SourcePortCount, 1, nameof(options));
        IPAddress? ipv4 = Only(options.Addresses, AddressFamily.InterNetwork);
        IPAddress? ipv6 = Only(options.Addresses, AddressFamily.InterNetworkV6);
        if (ipv4 is null && ipv6 is null) throw new ArgumentException("the underlay needs a local address", nameof(options));

        _receiver = new UdpReceiver(options, options.Addresses, _refusals);
        try
        {
            _ownsSources = options.SourcePortsOf is null;
            _sources = options.SourcePortsOf?._sources ?? new SourceSockets(options, ipv4, ipv6, _refusals);
        }
        catch
        {
            _receiver.Dispose();
            throw;
        }
        _sender = new UdpSender(_sources, ipv6?.IsIPv6LinkLocal == true ? (uint)ipv6.ScopeId : 0, options);
    }

    /// <summary>UDP source ports by <see cref="DatagramTrain.SourcePortIndex"/>, the same for both families.</summary>
    public IReadOnlyList<ushort> SourcePorts => _sources.Ports;

    /// <summary>For polling.</summary>
    public IReadOnlyList<int> ReceiveDescriptors => _receiver.Descriptors;

    /// <summary>What the kernel refused, one readable text each, for the log and status. Grows when a send is refused segmentation.</summary>
    public IReadOnlyList<string> Refusals => _sender.SegmentationRefusal is { } refusal ? [.. _refusals, refusal] : _refusals;

    /// <inheritdoc/>
    public void Send(SendBatch batch) => _sender.Send(batch);

    /// <inheritdoc/>
    public int Receive(ReceiveBatch batch) => _receiver.Receive(batch);

    public void Dispose()
    {
        _sender.Dispose();
        if (_ownsSources) _sources.Dispose();
        _receiver.Dispose();
    }

    /// <summary>The socket that sends from a source port.</summary>
    internal int SendDescriptor(int portIndex, bool ipv6) => _sources.Descriptor(portIndex, ipv6);

    private static IPAddress? Only(IReadOnlyList<IPAddress> addresses, AddressFamily family)
    {
        IPAddress[] found = [.. addresses.Where(address => address.AddressFamily == family)];
        return found.Length <= 1
            ? found.FirstOrDefault()
            : throw new ArgumentException($"the underlay takes one address a family, not {string.Join(", ", found.AsEnumerable())}", nameof(addresses));
    }
}
