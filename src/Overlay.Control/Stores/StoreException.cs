namespace Overlay.Control.Stores;

/// <summary>The store cannot be used now. The message says which, why and what to do.</summary>
public sealed class StoreException : Exception
{
    /// <param name="isOutcomeUnknown">True: a transaction may have been applied.</param>
    public StoreException(string message, bool isOutcomeUnknown = false, Exception? cause = null)
        : base(message, cause) => IsOutcomeUnknown = isOutcomeUnknown;

    public bool IsOutcomeUnknown { get; }
}
