using Overlay.Dataplane.Buffers;

namespace Overlay.Dataplane.Devices;

/// <summary>
/// One queue of a device that carries Ethernet frames with virtio-net headers: a TAP queue, or memory in tests. Called once a batch, by one
/// thread.
/// </summary>
public interface IFrameDevice
{
    /// <summary>Appends the frames that are waiting until the batch is full. Never blocks.</summary>
    /// <returns>Frames appended; 0 when none was waiting.</returns>
    int Read(FrameBatch batch);

    /// <summary>
    /// Writes the frames in order. Never blocks: a frame that the device refuses is lost, and marked <see cref="GatheredFrame.Refused"/>.
    /// </summary>
    /// <returns>Frames that the device took.</returns>
    int Write(GatherBatch batch);
}
