namespace Overlay.Wire.Decoding;

/// <summary>A Geneve option.</summary>
/// <param name="Class">Namespace of the type.</param>
/// <param name="Type">All eight bits, the critical one included.</param>
/// <param name="Data">Without the option's four-byte header.</param>
public sealed record DecodedOption(ushort Class, byte Type, ReadOnlyMemory<byte> Data);
