using Overlay.Dataplane.Buffers;

namespace Overlay.Dataplane.Devices;

/// <summary>
/// One queue of the network that carries the tunnels: UDP sockets, or memory in tests. Called once a batch, by one thread.
/// </summary>
public interface IUnderlay
{
    /// <summary>
    /// Sends the trains in order. Marks each with what became of it in <see cref="DatagramTrain.Outcome"/>. Never blocks.
    /// </summary>
    void Send(SendBatch batch);

    /// <summary>Fills the batch with the trains that are waiting. Never blocks.</summary>
    /// <returns>Trains received; 0 when none was waiting.</returns>
    int Receive(ReceiveBatch batch);
}
