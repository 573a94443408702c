namespace Overlay.Agent;

/// <summary>The host does not allow what the configuration asks for: what is wrong, and what to do about it.</summary>
internal sealed class StartRefusedException(string wrong, string remedy, Exception? cause = null) : Exception($"{wrong}; {remedy}", cause);
