using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Offload;
using Overlay.Testing;

namespace Overlay.Bench.Egress;

/// <summary>Frames in memory and the egress path that makes trains of them, time and again.</summary>
internal sealed class EgressLoad(Tunnel tunnel, TunnelOffload kernel = TunnelOffload.None)
{
    private readonly EgressLab _lab = new(kernel, format: tunnel.Format());

    /// <summary>Is shown the packets.</summary>
    public PacketObserver Observer => _lab.Observer;

    /// <summary>Adds a frame that needs nothing, or only its checksum.</summary>
    public void Add(InnerFrame frame, bool finished)
    {
        if (finished) Add(frame.Finished(), default);
        else Add(frame.Unfinished(), frame.Offload(0));
    }

    /// <summary>Adds a super-packet.</summary>
    public void AddSuperPacket(InnerFrame frame, int segmentSize) => Add(frame.Unfinished(), frame.Offload(segmentSize));

    /// <summary>Takes every frame once.</summary>
    /// <returns>Trains made.</returns>
    public int Run()
    {
        int trains = 0;
        for (int next = 0; next < _lab.Input.Count; _lab.Output.Clear())
        {
            next = _lab.Path.Process(_lab.Input, next, _lab.Segment, _lab.Output, _lab.Answers, _lab.Counters);
            _lab.Path.Account(_lab.Output, _lab.Counters);
            trains += _lab.Output.Count;
        }
        return trains;
    }

    private void Add(byte[] bytes, VirtioNetHeader offload)
    {
        ref Frame frame = ref _lab.Input.Next();
        frame.Offload = offload;
        bytes.CopyTo(_lab.Input.Memory.Span(frame.Offset, bytes.Length));
        _lab.Input.Commit(bytes.Length);
    }
}
