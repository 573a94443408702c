namespace Overlay.Rpc.Grpc;

/// <summary>Sizes of messages, without their prefix of five bytes.</summary>
/// <param name="MaxReceiveBytes">Largest message that is read.</param>
/// <param name="MaxSendBytes">Largest message that is written.</param>
public sealed record GrpcLimits(int MaxReceiveBytes = 4 << 20, int MaxSendBytes = 64 << 20);
