namespace Overlay.Rpc.Hosting;

/// <summary>An address cannot be listened on: where it is configured, why, and what to do about it.</summary>
public sealed class ListenException(string message, Exception cause) : Exception(message, cause);
