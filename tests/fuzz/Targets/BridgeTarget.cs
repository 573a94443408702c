using Overlay.Dataplane.Tunnels;
using Overlay.Testing;

namespace Overlay.Fuzz.Targets;

/// <summary>Mutated frames through both ways of bridged segments, from the device and from peers: in + copies = out + answered + dropped.</summary>
internal sealed class BridgeTarget : IFuzzTarget
{
    private const int LongestDatagram = 60_000;

    private readonly BridgeLab[] _labs =
    [
        new(new BridgeLabOptions { LearnsNeighbours = true }),
        new(new BridgeLabOptions { Learns = false, FloodsUnknown = false, FloodsUnknownNeighbours = false, ForwardsReserved = true }),
        new(new BridgeLabOptions { LearnsNeighbours = true, LearnLimit = 4, Format = new TunnelFormat { Encapsulation = Encapsulation.Geneve, KeepsVlanTags = true } }),
    ];

    public string Name => "bridged segments";

    public int Share => 100;

    public void Run(Random random, InputSource inputs, int count)
    {
        for (int i = 0; i < count; i++)
        {
            BridgeLab lab = _labs[random.Next(_labs.Length)];
            byte[] frame = inputs.Frame().ToArray();
            if (random.Next(4) == 0 && frame.Length >= 6) random.NextBytes(frame.AsSpan(0, 3));
            if (frame.Length > LongestDatagram) continue;
            if (random.Next(2) == 0) lab.FromDevice(frame);
            else lab.FromPeer(random.Next(lab.Peers.Length), frame);
            lab.Underlay.Sent.Clear();
            lab.Device.Written.Clear();
        }
        foreach (BridgeLab lab in _labs) lab.CheckBalance();
    }
}
