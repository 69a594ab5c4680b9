"""Services and status codes as constants, so that an editor completes them (TDCC PSP 9.1, 9.2).

The tables under ``schemas/`` are the source; a test holds these equal to them.
"""

from __future__ import annotations

from enum import StrEnum


class Service(StrEnum):
    """The 26 service codes."""

    PS810FTRQ = "PS810FTRQ"  # Funds transfer request
    PS810FTRS = "PS810FTRS"  # Funds transfer request: result of checking
    PS811FTRRQ = "PS811FTRRQ"  # Funds transfer result notice
    PS811FTRRS = "PS811FTRRS"  # Funds transfer result notice: result of checking
    PS830INQRQ = "PS830INQRQ"  # Funds transfer status inquiry request
    PS830INQRS = "PS830INQRS"  # Funds transfer status inquiry request: result of checking
    PS831INRRQ = "PS831INRRQ"  # Funds transfer status inquiry result notice
    PS831INRRS = "PS831INRRS"  # Funds transfer status inquiry result notice: result of checking
    PS802RSDRQ = "PS802RSDRQ"  # Message resend request
    PS802RSDRS = "PS802RSDRS"  # Message resend request: result of checking
    IS910SMDRQ = "IS910SMDRQ"  # General information request
    IS910SMDRS = "IS910SMDRS"  # General information request: result of checking
    IS920VASRQ = "IS920VASRQ"  # Seal verification information request
    IS920VASRS = "IS920VASRS"  # Seal verification information request: result of checking
    IS930PIDRQ = "IS930PIDRQ"  # Collection details information request
    IS930PIDRS = "IS930PIDRS"  # Collection details information request: result of checking
    IS940PICRQ = "IS940PICRQ"  # Inward remittance confirmation request
    IS940PICRS = "IS940PICRS"  # Inward remittance confirmation request: result of checking
    PS850CERQ = "PS850CERQ"  # Currency exchange request
    PS850CERS = "PS850CERS"  # Currency exchange request: result of checking
    PS851CERQ = "PS851CERQ"  # Currency exchange result notice
    PS851CERS = "PS851CERS"  # Currency exchange result notice: result of checking
    PS860INQRQ = "PS860INQRQ"  # Account balance and details inquiry request
    PS860INQRS = "PS860INQRS"  # Account balance and details inquiry request: result of checking
    PS861INRRQ = "PS861INRRQ"  # Account balance and details inquiry result notice
    PS861INRRS = (
        "PS861INRRS"  # Account balance and details inquiry result notice: result of checking
    )


class Status(StrEnum):
    """The 62 status codes: 10 of the platform (PM), 52 of banks (BK)."""

    PSPPM0000I = "PSPPM0000I"  # Processing complete
    PSPPM9999S = "PSPPM9999S"  # System error
    PSPPM0001S = "PSPPM0001S"  # Message format error
    PSPPM0002S = "PSPPM0002S"  # Duplicate message sent
    PSPPM0001W = "PSPPM0001W"  # Service provider has suspended the service
    PSPPM0002W = "PSPPM0002W"  # Outside service hours
    PSPPM0001E = "PSPPM0001E"  # No right to use this service
    PSPPM0002E = "PSPPM0002E"  # Requested service does not exist
    PSPPM0003E = "PSPPM0003E"  # OPC has not exchanged keys yet
    PSPPM0004E = "PSPPM0004E"  # Wrong MAC value
    PSPBK0000I = "PSPBK0000I"  # Processing complete
    PSPBK9999S = "PSPBK9999S"  # System error
    PSPBK0001S = "PSPBK0001S"  # Message format error
    PSPBK0002S = "PSPBK0002S"  # System has suspended the service
    PSPBK0001E = "PSPBK0001E"  # Wrong debit account number
    PSPBK0002E = "PSPBK0002E"  # Debit account is in a wrong state
    PSPBK0003E = "PSPBK0003E"  # Wrong credit account number
    PSPBK0004E = "PSPBK0004E"  # Credit account is a flagged (problem) account
    PSPBK0005E = "PSPBK0005E"  # Insufficient balance
    PSPBK0006E = "PSPBK0006E"  # This account may not carry out this kind of transaction
    PSPBK0007E = "PSPBK0007E"  # Amounts in the interbank transaction data do not agree
    PSPBK0008E = "PSPBK0008E"  # Message format error in the payment bank's data
    PSPBK0009E = "PSPBK0009E"  # No such account number
    PSPBK0010E = "PSPBK0010E"  # Already cancelled (closed)
    PSPBK0011E = "PSPBK0011E"  # Connection between the system and the payment bank is not in its normal state
    PSPBK0012E = "PSPBK0012E"  # Customer has been deleted
    PSPBK0013E = "PSPBK0013E"  # All transactions of this account are stopped
    PSPBK0014E = "PSPBK0014E"  # Wrong English account name for the credit account
    PSPBK0101E = "PSPBK0101E"  # Debit and credit currencies differ
    PSPBK0102E = "PSPBK0102E"  # OOMI/MOOI batch holds more than one group
    PSPBK0103E = "PSPBK0103E"  # Several debits and credits (OOOI): debit and credit amounts differ
    PSPBK0104E = "PSPBK0104E"  # Already posted, cannot be cancelled
    PSPBK0105E = "PSPBK0105E"  # No record of the original transaction
    PSPBK0106E = "PSPBK0106E"  # Wrong message kind
    PSPBK0107E = "PSPBK0107E"  # Posting in progress, inquire again later
    PSPBK0108E = "PSPBK0108E"  # Original transaction was already rejected (RJCT)
    PSPBK0109E = "PSPBK0109E"  # Original transaction was already cancelled
    PSPBK0110E = "PSPBK0110E"  # Record of the original transaction not found
    PSPBK0111E = "PSPBK0111E"  # Debit and credit amounts differ
    PSPBK0112E = (
        "PSPBK0112E"  # Original transaction is being received and has not been processed yet
    )
    PSPBK0113E = "PSPBK0113E"  # No transaction that is still to be posted was found, cannot cancel
    PSPBK0114E = "PSPBK0114E"  # Other check failed
    PSPBK0115E = (
        "PSPBK0115E"  # Inquiry start date is more than six months before the transaction date
    )
    PSPBK0116E = "PSPBK0116E"  # Wrong deposit account number format
    PSPBK0117E = "PSPBK0117E"  # No deposit account of this category
    PSPBK0118E = "PSPBK0118E"  # No such deposit account
    PSPBK0119E = "PSPBK0119E"  # Not an account of the depository (TDCC), may not be inquired
    PSPBK0120E = "PSPBK0120E"  # Debit and credit totals differ
    PSPBK0121E = "PSPBK0121E"  # Fee currency must be the credit currency
    PSPBK0122E = "PSPBK0122E"  # Wrong settlement date
    PSPBK0123E = "PSPBK0123E"  # Data of the same virtual account sent repeatedly
    PSPBK0124E = "PSPBK0124E"  # Inquiry date is after today
    PSPBK0125E = "PSPBK0125E"  # Inquiry end date may not be before the start date (the official text has start and end reversed)
    PSPBK0126E = "PSPBK0126E"  # PMTID may not be 0
    PSPBK0127E = "PSPBK0127E"  # PMTOUTID may not be 0
    PSPBK0128E = "PSPBK0128E"  # PMTINID may not be 0
    PSPBK0129E = "PSPBK0129E"  # Duplicate SSNID / SVCREFID
    PSPBK0130E = "PSPBK0130E"  # BANK does not match SWIFTCODE
    PSPBK0131E = "PSPBK0131E"  # Debit party is not with this bank
    PSPBK0132E = "PSPBK0132E"  # PMTOUTID of OOMI/OOOI must be 1
    PSPBK0133E = "PSPBK0133E"  # PMTINID of MOOI/OOOI must be 1
    PSPBK0134E = "PSPBK0134E"  # Remittance returned
