namespace Overlay.Agent.Explaining;

/// <summary>A question makes no sense here; the message says why and what to ask instead.</summary>
internal sealed class QuestionRefusedException(string message) : Exception(message);
