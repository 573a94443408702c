namespace Overlay.Control.Configuration;

/// <summary>
/// A value and the line of the configuration file it was read from; for a default, the line of the section it belongs to.
/// </summary>
public readonly record struct Located<T>(T Value, int Line)
{
    public static implicit operator T(Located<T> located) => located.Value;

    public override string? ToString() => Value?.ToString();
}
