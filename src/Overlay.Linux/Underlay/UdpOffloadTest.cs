using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>What the kernel may be asked for with UDP.</summary>
/// <param name="Sends">It cuts trains into datagrams (UDP_SEGMENT).</param>
/// <param name="Receives">It merges datagrams into trains (UDP_GRO).</param>
public readonly record struct UdpOffloads(bool Sends, bool Receives)
{
    public static UdpOffloads All => new(true, true);
}

/// <summary>Sends a train of datagrams over the loopback interface, as workers send and receive, and compares every byte.</summary>
public static class UdpOffloadTest
{
    private const int SegmentSize = 1000;
    private const int Datagrams = 5;
    private const int LastLength = 500;
    private const int Length = ((Datagrams - 1) * SegmentSize) + LastLength;
    private const int PortAttempts = 8;
    private static readonly TimeSpan Deadline = TimeSpan.FromMilliseconds(300);

    /// <summary>Takes some milliseconds; where something is broken, up to a second and a half.</summary>
    /// <returns>What arrives whole; null where not even single datagrams do, so that nothing can be said.</returns>
    public static UdpOffloads? Run(AddressFamily family)
    {
        IPAddress loopback = family == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback;
        if (Passes(loopback, UdpOffloads.All)) return UdpOffloads.All;
        if (!Passes(loopback, new UdpOffloads(false, false))) return null;
        // A train that is neither cut nor merged well is cut by us and taken one by one.
        bool receives = Passes(loopback, new UdpOffloads(false, true));
        bool sends = Passes(loopback, new UdpOffloads(true, false));
        return new UdpOffloads(sends, receives && !sends);
    }

    private static bool Passes(IPAddress loopback, UdpOffloads offloads)
    {
        try
        {
            (UdpUnderlay underlay, ushort port) = Open(loopback, offloads);
            using (underlay) return Passes(underlay, new UnderlayEndpoint(IpBits.V6OrMapped(loopback), port));
        }
        catch (LinuxException)
        {
            // Without a loopback interface, or with every port taken, nothing arrives either.
            return false;
        }
    }

    private static (UdpUnderlay Underlay, ushort Port) Open(IPAddress loopback, UdpOffloads offloads)
    {
        for (int attempt = 1; ; attempt++)
        {
            ushort port = (ushort)Random.Shared.Next(20_000, 60_000);
            try
            {
                return (new UdpUnderlay(new UdpUnderlayOptions
                {
                    Addresses = [loopback],
                    Ports = [new TunnelPort(port, Encapsulation.Vxlan)],
                    SourcePortCount = 1,
                    SendsTrains = offloads.Sends,
                    ReceivesTrains = offloads.Receives,
                }), port);
            }
            catch (LinuxException) when (attempt < PortAttempts)
            {
                // Taken, most likely; another one is tried.
            }
        }
    }

    private static bool Passes(UdpUnderlay underlay, UnderlayEndpoint to)
    {
        var memory = new PacketMemory(Length);
        Span<byte> sent = memory.Span(0, Length);
        for (int i = 0; i < sent.Length; i++) sent[i] = (byte)(i ^ (i >> 8));
        var peer = new Peer("self-test", to, default, new PeerTraffic(1));
        var batch = new SendBatch(1, 1);
        ref DatagramTrain train = ref batch.Add(peer, TrainKind.Datagrams);
        train.SegmentSize = SegmentSize;
        train.Packets = Datagrams;
        batch.AddSlice(memory.Slice(0, Length));
        batch.Seal();
        underlay.Send(batch);
        return batch.Trains[0].Outcome == SendOutcome.Sent && Arrives(underlay, sent);
    }

    private static bool Arrives(UdpUnderlay underlay, ReadOnlySpan<byte> sent)
    {
        using var poller = new Poller([.. underlay.ReceiveDescriptors]);
        var received = new ReceiveBatch(Datagrams);
        int offset = 0;
        long start = Stopwatch.GetTimestamp();
        while (offset < sent.Length)
        {
            int left = (int)(Deadline - Stopwatch.GetElapsedTime(start)).TotalMilliseconds;
            if (left <= 0) return false;
            if (underlay.Receive(received) == 0) poller.Wait(left);
            foreach (ref readonly ReceivedTrain train in received.Trains)
            {
                bool isCut = train.SegmentSize == SegmentSize || (train.Length <= SegmentSize && train.SegmentSize == train.Length);
                ReadOnlySpan<byte> bytes = received.Memory.Span(train.Offset, train.Length);
                if (!isCut || offset + bytes.Length > sent.Length || !bytes.SequenceEqual(sent.Slice(offset, bytes.Length))) return false;
                offset += bytes.Length;
            }
        }
        return true;
    }
}
