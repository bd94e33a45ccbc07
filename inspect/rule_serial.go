package inspect

var (
	ruleSerialNotPositive = Rule{"serial-not-positive", SeverityError, "RFC 5280, Section 4.1.2.2", "the serial number is positive"}
	ruleSerialTooLong     = Rule{"serial-too-long", SeverityError, "RFC 5280, Section 4.1.2.2", "the serial number has at most 20 octets"}
)

var serialChecks = []certificateCheck{
	one(ruleSerialNotPositive, checkSerialPositive),
	one(ruleSerialTooLong, checkSerialLength),
}

func checkSerialPositive(e *examined) (message, fix string) {
	if e.SerialNumber == nil || e.SerialNumber.Sign() > 0 {
		return "", ""
	}
	return "its serial number is not positive", "issue it again with a random serial number"
}

// checkSerialLength counts the octets as DER has them: one more where the first
// bit is set.
func checkSerialLength(e *examined) (message, fix string) {
	const most = 20
	if e.SerialNumber == nil || e.SerialNumber.BitLen()/8+1 <= most {
		return "", ""
	}
	return "its serial number is longer than 20 octets", "issue it again with a serial number of at most 20 octets"
}
