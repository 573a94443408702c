namespace Overlay.Csi;

/// <summary>The driver cannot run here: what is wrong, and what to do about it.</summary>
internal sealed class StartRefusedException(string wrong, string remedy) : Exception($"{wrong}; {remedy}");
